"""The job `replay_gate` and `nhm replay`, over what a Dagster instance has recorded."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterError, DagsterInstance, ExecuteInProcessResult, MetadataValue

from nhm_assets.automation.replay_job import REPLAY_OP
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_names import REPLAY_JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.replay_request import gate_settings
from nhm_assets.instance.home import dagster_instance
from nhm_assets.settings import Settings
from tests.support.documents import WEEK, WEEK_END
from tests.support.nhm import nhm_here
from tests.support.platform import QUIET
from tests.support.processes import ROOT
from tests.support.recorded import record_evaluation, record_rollback
from tests.support.reports import RULES, champion, metrics, report

WEEK_AFTER = "2026-03-08"


def weekly(version: int, precision: float, **changes: Any) -> EvaluationReport:
    after = str(version - 1) if version > 1 else None
    fields: dict[str, Any] = {
        "version": str(version),
        "week": WEEK if version == 1 else WEEK_AFTER,
        "window_end": WEEK_END + timedelta(weeks=version - 1),
        "candidate": metrics(precision=precision),
        "champion": champion(0.8, version=after) if after else None,
    }
    return report(**(fields | changes))


def record_two_weeks(instance: DagsterInstance) -> None:
    """A good version, then a weaker one, both promoted; business held its only candidate."""
    record_evaluation(instance, weekly(1, 0.9))
    record_evaluation(instance, weekly(2, 0.8))
    record_evaluation(instance, weekly(1, 0.7, specialist="business", model="business-evaluator"))


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        yield instance


def ask(instance: DagsterInstance, **config: Any) -> ExecuteInProcessResult:
    """Run the job with this configuration, as the launchpad does."""
    return (
        build_definitions(Settings())
        .resolve_job_def(REPLAY_JOB)
        .execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={**QUIET, "ops": {REPLAY_OP: {"config": config}}},
        )
    )


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    (output,) = (event.step_output_data for event in result.all_events if event.is_successful_output)
    return {name: value.value if name == "summary" else value for name, value in output.metadata.items()}


def test_the_job_shows_the_decisions_that_would_be_different(instance):
    record_two_weeks(instance)
    result = ask(instance, settings={"PRECISION_THRESHOLD": 0.85})
    assert result.success
    tables = shown(result)
    (flip,) = tables["different_decisions"].records
    assert (flip.data["version"], flip.data["then"]) == ("2", "passes")
    assert flip.data["replayed"] == "held by precision_threshold"
    assert [record.data["would be"] for record in tables["in_production"].records] == ["none", "1"]
    assert tables["summary"].startswith("With PRECISION_THRESHOLD=0.85, 1 of 3 recorded decisions")
    content = result.output_for_node(REPLAY_OP)
    assert content["production"]["technical"] == {"recorded": "2", "replayed": "1"}
    assert tables["json"].value == {name: value for name, value in content.items() if name != "decisions"}
    assert [flip["version"] for flip in tables["json"].value["flips"]] == ["2"]
    json.dumps(content)


def test_week_specialist_and_rollbacks_are_regarded(instance):
    record_two_weeks(instance)
    record_rollback(instance, weekly(2, 0.8), to="1")
    result = ask(instance, settings={"PRECISION_THRESHOLD": 0.65}, specialist="technical", since=WEEK_AFTER)
    content = result.output_for_node(REPLAY_OP)
    assert [decision["version"] for decision in content["decisions"]] == ["2"]
    assert content["production"] == {"technical": {"recorded": "1", "replayed": "1"}}


def test_verdicts_are_those_that_were_recorded(instance):
    """They were judged with other settings than today's."""
    record_evaluation(instance, weekly(1, 0.5), replace(RULES, precision_threshold=0.4))
    content = ask(instance, settings={"PRECISION_THRESHOLD": 0.4}).output_for_node(REPLAY_OP)
    assert content["flips"] == []
    assert content["decisions"][0]["held_by_with_todays_settings"] == ["precision_threshold"]


def test_gate_checks_that_others_left_undecided_do_not_count_as_failed(instance):
    record_evaluation(instance, weekly(1, 0.7, folds=None, pooled=None))
    (decision,) = ask(instance, settings={"F1_THRESHOLD": 0.7}).output_for_node(REPLAY_OP)["decisions"]
    assert decision["recorded_held_by"] == decision["held_by"] == ["precision_threshold"]


def test_a_report_of_any_release_is_replayed_and_one_of_a_newer_release_is_counted(instance):
    partition = str(Partition.parse(WEEK, "technical").key)
    for sample in sorted((ROOT / "tests/data/records").glob("EvaluationReport.*.json")):
        content = MetadataValue.json(json.loads(sample.read_text()))
        event = AssetMaterialization(EVALUATION_REPORT, partition=partition, metadata={"report": content})
        instance.report_runless_asset_event(event)
    newer = report().model_dump(mode="json") | {"schema_version": EvaluationReport.current_version() + 1}
    event = AssetMaterialization(EVALUATION_REPORT, partition=partition, metadata={"report": MetadataValue.json(newer)})
    instance.report_runless_asset_event(event)
    content = ask(instance, settings={"F1_THRESHOLD": 0.9}).output_for_node(REPLAY_OP)
    assert content["reports"] == EvaluationReport.current_version()
    assert content["unreadable_reports"] == 1


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"settings": {"KEEP_VERSIONS": 3}}, "unexpected config entry"),
        ({"settings": {"F1_THRESHOLD": 0.8}, "since": "2026-03-02"}, "unknown week '2026-03-02'"),
        ({"settings": {"F1_THRESHOLD": 0.8}, "specialist": "plumbing"}, "not in enum type Specialist got plumbing"),
        ({"settings": {"F1_THRESHOLD": 1.8}}, "F1_THRESHOLD: must be at most 1, but is "),
        ({"settings": {"FOREIGN_CHAMPION": "keep"}}, "not in enum type FOREIGN_CHAMPION got keep"),
        ({"settings": {"F1_THRESHOLD": 0.72}}, "a replay needs at least one setting with another value"),
        ({"settings": {}}, "a replay needs at least one setting with another value"),
    ],
)
def test_an_unusable_request_is_refused_before_a_run_exists(instance, config, reason):
    with pytest.raises(DagsterError) as refused:
        ask(instance, **config)
    assert reason in f"{refused.value} {refused.value.__cause__}"
    assert instance.get_runs_count() == 0


def test_the_launchpad_shows_the_settings_of_today():
    """Whoever changes one of them sends the others along, and they change nothing."""
    job = build_definitions(Settings(f1_threshold=0.6)).resolve_job_def(REPLAY_JOB)
    shown = job.run_config["ops"][REPLAY_OP]["config"]["settings"]
    assert list(shown) == gate_settings()
    assert (shown["F1_THRESHOLD"], shown["PRECISION_THRESHOLD"]) == (0.6, 0.75)


def test_settings_that_stay_as_they_are_are_no_change(instance):
    record_two_weeks(instance)
    today = {name: getattr(Settings(), name.lower()) for name in gate_settings()}
    result = ask(instance, settings=today | {"PRECISION_THRESHOLD": 0.85})
    assert shown(result)["summary"].startswith("With PRECISION_THRESHOLD=0.85, 1 of 3")


@pytest.mark.servers
def test_the_command_prints_and_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home, file = tmp_path / "home", tmp_path / "replay.json"
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with dagster_instance(Settings(nhm_home=home)) as instance:
        record_two_weeks(instance)
        before = len(instance.fetch_materializations(AssetKey("promoted_version"), limit=10).records)
        done = nhm_here("replay", "--set", "PRECISION_THRESHOLD=0.85", "--json", file, nhm_home=home)
        assert done.returncode == 0, done.stderr
        assert len(instance.fetch_materializations(AssetKey("promoted_version"), limit=10).records) == before
        assert instance.get_runs_count() == 0
    assert "held by precision_threshold" in done.stdout
    assert "1 of 3 recorded decisions would be different" in done.stdout
    assert json.loads(file.read_text())["production"]["technical"] == {"recorded": "2", "replayed": "1"}
    refused = nhm_here("replay", "--set", "PRECISION_THRESHOLD", nhm_home=home)
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "nhm: --set PRECISION_THRESHOLD: write NAME=VALUE, such as PRECISION_THRESHOLD=0.8",
    )
