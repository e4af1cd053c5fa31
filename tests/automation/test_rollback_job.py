"""The job `rollback_promotion` and `nhm rollback`: what they accept, change and record."""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetCheckKey,
    DagsterConfigMappingFunctionError,
    DagsterInstance,
    DagsterInvalidConfigError,
    ExecuteInProcessResult,
    RunsFilter,
)

from nhm_assets.automation.rollback_job import ROLLBACK_OP
from nhm_assets.commands.dev_output import line_about
from nhm_assets.commands.live import run_facts
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.domain.dagster_names import ROLLBACK_JOB
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.dagster_source import DagsterSource
from nhm_assets.promotion.production_models import show_production
from nhm_assets.registry.rollback import record_restart
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.vocabulary import CLASSES_TAG, FILES_DELETED_TAG, PARTITION_TAG, ROLLED_BACK_TAG
from nhm_assets.resource_factories import mongo_of
from tests.support.documents import NOW, WEEK, WEEK_END, put, reviewed_opinions
from tests.support.nhm import nhm_here
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.processes import ROOT
from tests.support.promotions import EARLIER, LATER, promote_here
from tests.support.registry import MODEL, Registry
from tests.support.reruns import launch, retry_of

WEEK_BEFORE, WEEK_AFTER = "2026-02-22", "2026-03-08"
REASON = "it approves everything"


def ask(platform: Platform, config: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> ExecuteInProcessResult:
    """Run the job with this configuration, as the launchpad does."""
    job = build_definitions(platform.settings).resolve_job_def(ROLLBACK_JOB)
    return job.execute_in_process(
        instance=platform.instance,
        raise_on_error=False,
        run_config={**QUIET, "ops": {ROLLBACK_OP: {"config": dict(config)}}},
        tags=dict(tags or {}),
    )


@pytest.fixture
def registry(platform: Platform) -> Registry:
    return Registry(platform.settings.nhm_home / "mlflow")


@pytest.fixture
def three(platform: Platform, registry: Registry) -> Registry:
    """A registry with three versions, promoted one after the other."""
    for window_end in (EARLIER, WEEK_END, LATER):
        promote_here(registry, platform.database["model_audit_log"], registry.add(window_end), window_end)
    return registry


def test_the_launchpad_needs_only_specialist_and_reason(platform: Platform, three: Registry):
    result = ask(platform, {"specialist": "technical", "reason": REASON})
    assert result.success
    assert result.output_for_node(ROLLBACK_OP) | {"audit_id": None} == {
        "specialist": "technical",
        "model": MODEL,
        "version": "2",
        "from_version": "3",
        "audit_id": None,
    }
    assert three.state()["stages"] == {"1": "Archived", "2": "Production", "3": "Archived"}
    assert registry_faults(three.client(), MODEL, "2") == []
    assert three.client().get_model_version(MODEL, "3").tags[ROLLED_BACK_TAG] == REASON


def test_after_a_rollback_everything_that_reads_runs_goes_on(platform: Platform, three: Registry):
    done = ask(platform, {"specialist": "technical", "reason": REASON})
    (last,) = run_facts(platform.instance)
    assert (last["run"], last["ended"], last["reason"]) == (done.run_id, "rolled_back", REASON)
    run = platform.instance.get_run_by_id(done.run_id)
    assert run is not None
    assert line_about(platform.instance, run, "http://dagster").startswith(
        f"rollback_promotion (rolled_back): {REASON} "
    )
    readings = DagsterSource(lambda: platform.instance, platform.settings).refresh()
    assert readings.values[own_metrics.RUNS_ENDED]["technical", "broken"] == 0
    assert show_production(
        platform.instance, mongo_of(platform.settings), platform.mlflow, platform.settings, warn=pytest.fail
    )


@pytest.mark.parametrize("stage", ["Archived", "Production"], ids=["taken out", "one of two"])
def test_a_rollback_that_moved_something_never_says_that_nothing_was_moved(
    platform: Platform, three: Registry, stage: str
):
    """Somebody else has moved the version, or another one, in MLflow."""
    three.client().transition_model_version_stage(MODEL, "3" if stage == "Archived" else "1", stage)
    said = []
    for _ in range(2):
        result = ask(platform, {"specialist": "technical", "reason": REASON, "to": "3"})
        (output,) = (event for event in result.events_for_node(ROLLBACK_OP) if event.is_successful_output)
        said.append(output.step_output_data.metadata["summary"].value.partition("; ")[2])
    assert three.state()["stages"] == {"1": "Archived", "2": "Archived", "3": "Production"}
    assert said == ["stages and aliases were put right", "it already was, so nothing was moved"]


def test_the_audit_log_records_a_rollback_with_its_run_and_actor(platform: Platform, three: Registry):
    result = ask(platform, {"specialist": "technical", "reason": REASON, "to": "1"}, {"user": "ada"})
    entry = platform.database["model_audit_log"].find_one({"kind": "rolled_back"})
    assert entry["_id"] == result.output_for_node(ROLLBACK_OP)["audit_id"]
    assert (entry["specialist"], entry["model"]) == ("technical", MODEL)
    assert (entry["from_version"], entry["version"], entry["reason"]) == ("3", "1", REASON)
    assert (entry["actor"], entry["dagster_run_id"], entry["at"]) == ("ada", result.run_id, NOW)


@pytest.mark.parametrize("known", [True, False], ids=["both partitions", "versions from elsewhere"])
def test_a_rollback_is_an_event_on_promoted_version_and_the_check_is_asked_again(
    platform: Platform, three: Registry, *, known: bool
):
    """On the partitions of both versions; a week that was promoted must not go on looking as if it were serving."""
    left, back = f"technical|{WEEK_AFTER}", f"technical|{WEEK}"
    for version, partition in (("3", left), ("2", back)):
        if known:
            three.client().set_model_version_tag(MODEL, version, PARTITION_TAG, partition)
        else:
            three.client().delete_model_version_tag(MODEL, version, PARTITION_TAG)
    result = ask(platform, {"specialist": "technical", "reason": REASON}, {"user": "ada"})
    for _ in range(2):
        records = platform.instance.fetch_observations(PROMOTED_VERSION, limit=10).records
        events = [record.event_log_entry.asset_observation for record in records]
        assert {event.partition for event in events} == ({left, back} if known else {None})
        assert len(events) == (2 if known else 1)
        for event in events:
            shown = {name: value.value for name, value in event.metadata.items()}
            assert (shown["outcome"], shown["reason"], shown["actor"]) == ("rolled_back", REASON, "ada")
            assert (shown["version"], shown["from_version"], shown["dagster_run_id"]) == ("2", "3", result.run_id)
            assert event.tags == {"nhm/outcome": "rolled_back", "nhm/specialist": "technical"}
        ask(platform, {"specialist": "technical", "reason": REASON}, retry_of(result))
    tags = platform.tags(result)
    assert (tags["nhm/outcome"], tags["nhm/reason"], tags["nhm/specialist"]) == ("rolled_back", REASON, "technical")
    key = AssetCheckKey(PROMOTED_VERSION, "registry_consistent")
    verdicts = platform.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {verdict.evaluation.partition for verdict in verdicts} == ({left, back} if known else set())
    assert all(verdict.evaluation.passed for verdict in verdicts)


@pytest.mark.servers
@pytest.mark.exhaustive
def test_postgresql_too_shows_a_second_rollback_on_the_same_partition(
    platform: Platform, three: Registry, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name, value in postgres.new_database(f"dagster_{uuid.uuid4().hex[:12]}").items():
        monkeypatch.setenv(name, value)
    for version, week in (("3", WEEK_AFTER), ("2", WEEK), ("1", WEEK_BEFORE)):
        three.client().set_model_version_tag(MODEL, version, PARTITION_TAG, f"technical|{week}")
    storage = yaml.safe_load((ROOT / "deploy" / "postgres" / "dagster.yaml").read_text())["storage"]
    overrides = {"telemetry": {"enabled": False}, "storage": storage}
    key = AssetCheckKey(PROMOTED_VERSION, "registry_consistent")
    with DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        stored = Platform(platform.settings, platform.database, instance)
        for target in ("2", "1"):
            assert ask(stored, {"specialist": "technical", "reason": REASON, "to": target}).success
        history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        found = {one.evaluation.partition: one.evaluation.description for one in history}
    assert len(history) == 3
    of_both = f"technical|{WEEK}"
    assert found.keys() == {of_both, f"technical|{WEEK_BEFORE}", f"technical|{WEEK_AFTER}"}
    assert found[of_both].startswith("Version 1 is in Production")


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({}, "reason"),
        ({"specialist": "technical"}, "reason"),
        ({"reason": REASON}, "specialist"),
        ({"specialist": "oracle", "reason": REASON}, "not in enum type Specialist got oracle"),
        ({"specialist": "technical", "reason": REASON, "two": "1"}, "unexpected config entry"),
    ],
    ids=["nothing", "no reason", "no specialist", "another specialist", "a typo"],
)
def test_dagster_names_what_is_missing_in_the_launchpad(platform: Platform, config, missing):
    with pytest.raises(DagsterInvalidConfigError, match=missing):
        ask(platform, config)
    assert platform.instance.get_runs(RunsFilter(job_name=ROLLBACK_JOB)) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"reason": "  "}, "a rollback needs a reason"),
        ({"reason": ""}, "a rollback needs a reason"),
        ({"to": "v2"}, "to: 'v2' is no version: versions are numbers"),
    ],
    ids=["blanks", "empty reason", "no number"],
)
def test_a_request_that_cannot_be_one_is_refused_before_a_run_exists(platform: Platform, config, expected):
    with pytest.raises(DagsterConfigMappingFunctionError) as refused:
        ask(platform, {"specialist": "technical", "reason": REASON} | config)
    assert expected in str(refused.value.__cause__)
    assert platform.instance.get_runs(RunsFilter(job_name=ROLLBACK_JOB)) == []


def form_of(platform: Platform, specialist: str = "technical") -> dict[str, Any]:
    """What the launchpad fills in for whoever chooses this specialist."""
    job = build_definitions(platform.settings).resolve_job_def(ROLLBACK_JOB)
    config = job.partitioned_config.get_run_config_for_partition_key(specialist)
    return config["ops"][ROLLBACK_OP]["config"]


def test_the_launchpad_shows_the_version_in_production_and_the_previous_one(platform: Platform, three: Registry):
    assert form_of(platform) == {"specialist": "technical", "in_production": "3", "to": "2"}
    assert form_of(platform, "business") == {"specialist": "business", "in_production": None, "to": None}
    # Somebody else rolls back before the form is sent.
    assert ask(platform, {"specialist": "technical", "reason": REASON, "to": "1"}).success
    result = ask(platform, form_of(platform) | {"in_production": "3", "to": "2", "reason": REASON})
    assert "version 1 is in Production, not version 3, so nothing was moved" in failed_step(result)[1]
    assert three.state()["stages"]["1"] == "Production"


def test_the_launchpad_opens_without_versions_while_mlflow_is_away(platform: Platform):
    away = platform.with_settings(mlflow_tracking_uri=f"http://127.0.0.1:{free_port()}", mlflow_timeout_s=1)
    assert form_of(away) == {"specialist": "technical"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"specialist": "business"}, "business-evaluator has no previous version: name the target with --to"),
        ({"to": "9"}, f"{MODEL} has no version '9': it has 3, 2, 1"),
        ({"to": "1"}, f"{MODEL} version 1 cannot serve: its files were deleted"),
    ],
    ids=["no previous version", "version", "no files"],
)
def test_an_impossible_rollback_moves_nothing_and_the_error_says_what_to_do(
    platform: Platform, three: Registry, config, expected
):
    three.client().set_model_version_tag(MODEL, "1", FILES_DELETED_TAG, NOW.isoformat())
    before, entries = three.state(), platform.database["model_audit_log"].count_documents({})
    result = ask(platform, {"specialist": "technical", "reason": REASON} | config)
    assert not result.success
    step, message = failed_step(result)
    assert step == ROLLBACK_OP
    assert expected in message
    assert (three.state(), platform.database["model_audit_log"].count_documents({})) == (before, entries)
    tags = platform.tags(result)
    assert (tags["nhm/outcome"], expected in tags["nhm/reason"]) == ("refused", True)


@pytest.mark.parametrize("to", [None, "2"])
def test_a_run_that_dagster_retries_goes_back_once(platform: Platform, three: Registry, to):
    """Its process died during the restart of the specialist, when the version was already moved."""
    config = {"specialist": "technical", "reason": REASON} | ({"to": to} if to else {})
    killed = ask(platform, config)
    before = three.state()
    retried = ask(platform, config, retry_of(killed))
    assert retried.output_for_node(ROLLBACK_OP) == killed.output_for_node(ROLLBACK_OP)
    assert three.state() == before


def test_a_second_rollback_by_a_person_goes_further_back(platform: Platform, three: Registry):
    config = {"specialist": "technical", "reason": REASON}
    assert ask(platform, config).output_for_node(ROLLBACK_OP)["version"] == "2"
    assert ask(platform, config).output_for_node(ROLLBACK_OP)["version"] == "1"


def test_without_a_cluster_the_output_says_when_the_pods_load_the_version(platform: Platform, three: Registry):
    result = ask(platform, {"specialist": "technical", "reason": REASON})
    assert "at their next restart" in result.output_for_node("restart_specialist")


@pytest.mark.servers
@pytest.mark.slow
def test_a_version_that_was_rolled_back_stays_held_and_one_with_newer_feedback_is_promoted(
    platform: Platform,
):
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    platform = platform.with_settings(max_f1_regression=1.0)
    launch(platform, week=WEEK_BEFORE)
    launch(platform, week=WEEK)
    assert ask(platform, {"specialist": "technical", "reason": REASON}).success
    held, again, newer = (launch(platform, week=week) for week in (WEEK, WEEK, WEEK_AFTER))
    assert [platform.tags(one)["nhm/outcome"] for one in (held, again, newer)] == ["held", "unchanged", "promoted"]
    assert held.success
    assert held.asset_value("trained_model").version == "2"
    for tags in map(platform.tags, (held, again)):
        assert f"version 2 was rolled back ({REASON})" in tags["nhm/reason"]
        assert "nhm rollback technical --to 2" in tags["nhm/reason"]
    promotion = newer.asset_value("promoted_version")
    assert (promotion.version, promotion.previous_version) == ("3", "1")
    with platform.mlflow.client() as client:
        assert registry_faults(client, MODEL, "3") == []


@pytest.fixture
def command(tmp_path: Path, migrated_mlflow: Path, mongod_uri: str, database) -> dict[str, object]:
    """Settings for `nhm`, whose registry has two versions, promoted one after the other."""
    shutil.copytree(migrated_mlflow, tmp_path / "home" / "mlflow")
    registry = Registry(tmp_path / "home" / "mlflow")
    for window_end in (EARLIER, WEEK_END):
        promote_here(registry, database["model_audit_log"], registry.add(window_end), window_end)
    return {"nhm_home": tmp_path / "home", "mongodb_uri": mongod_uri, "mongodb_database": database.name}


@pytest.mark.servers
@pytest.mark.slow
def test_the_command_goes_back_once_and_forward_again_with_to(command, database):
    done = nhm_here("rollback", "technical", "--reason", REASON, **command)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{MODEL}: version 1 is in Production; version 2 is archived and will not be promoted again" in done.stdout
    assert Registry(command["nhm_home"] / "mlflow").state()["stages"] == {"1": "Production", "2": "Archived"}
    entry = database["model_audit_log"].find_one({"kind": "rolled_back"})
    assert entry["actor"].endswith(", nhm rollback")
    instance_file = command["nhm_home"] / "dagster" / "dagster.yaml"
    assert instance_file.read_text() == (ROOT / "deploy" / "local" / "dagster.yaml").read_text()

    refused = nhm_here("rollback", "technical", "--reason", REASON, **command)
    assert refused.returncode == 1
    assert refused.stderr == f"nhm: {MODEL} has no previous version: name the target with --to\n"

    registry = Registry(command["nhm_home"] / "mlflow")
    registry.client().set_model_version_tag(MODEL, "2", CLASSES_TAG, "reject,approve,review_required")
    back = nhm_here("rollback", "technical", "--to", "2", "--reason", "it was the data", **command)
    assert back.returncode == 0
    assert back.stderr.startswith(f"nhm: warning: {MODEL} version 2 answers reject, approve, review_required, but")
    assert back.stderr.count("\n") == 1
    assert "version 2 is in Production; version 1 is archived" in back.stdout

    registry.client().transition_model_version_stage(MODEL, "2", "Archived")
    again = nhm_here("rollback", "technical", "--to", "2", "--reason", os.fsdecode(b"zur\xfcck"), **command)
    assert (again.returncode, "are as they should be" in again.stdout) == (0, True), again.stderr
    assert registry.state()["stages"] == {"1": "Archived", "2": "Production"}


@pytest.mark.servers
@pytest.mark.slow
def test_a_rollback_whose_restart_failed_says_so_and_the_same_command_only_restarts(command, database, tmp_path):
    """The API server is away. A person repeats the command, and must not go back a second version."""
    registry, log = Registry(command["nhm_home"] / "mlflow"), database["model_audit_log"]
    promote_here(registry, log, registry.add(LATER), LATER)
    away = {"kubeconfig": unreachable_cluster(tmp_path), "rollout_timeout_s": 1, "kubernetes_timeout_s": 1}
    for _ in range(2):
        done = nhm_here("rollback", "technical", "--reason", REASON, service_retries=0, **away, **command)
        assert done.returncode == 3
        assert f"{MODEL}: version 2 is in Production; version 3 is archived" in done.stdout
        assert "version 2 of technical-evaluator is back in Production, but technical was not restarted" in done.stderr
        assert "Run the same command again: it only restarts" in done.stderr
        assert registry.state()["stages"] == {"1": "Archived", "2": "Production", "3": "Archived"}
        assert log.count_documents({"kind": "rolled_back"}) == 1
    record_restart(log, MODEL, "2")
    further = nhm_here("rollback", "technical", "--reason", REASON, service_retries=0, **away, **command)
    assert further.returncode == 3
    assert registry.state()["stages"] == {"1": "Production", "2": "Archived", "3": "Archived"}


def unreachable_cluster(folder: Path) -> Path:
    """A kubeconfig that names a port on which nobody listens."""
    access = {
        "clusters": [{"name": "gone", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}],
        "current-context": "gone",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(access))
    return path


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["oracle", "--reason", REASON], "oracle"), (["technical"], "--reason"), (["--reason", REASON], "SPECIALIST")],
)
def test_wrong_arguments_end_the_command_with_2_and_are_named(tmp_path, arguments, named):
    done = nhm_here("rollback", *arguments, nhm_home=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
