"""The job `ab_test` and `nhm ab`: what they accept, and one test from start to end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from dagster import (
    DagsterConfigMappingFunctionError,
    DagsterInvalidConfigError,
    ExecuteInProcessResult,
    RunsFilter,
)

from nhm_assets.automation import ab_job
from nhm_assets.automation.ab_job import AB_OP
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import AB_TEST_JOB
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.partitions import WEEK as ONE_WEEK
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.served.measure import Measurement
from resources.storage import FrameIOManager
from tests.support.documents import NOW, WEEK, WEEK_END, put, reviewed_opinions
from tests.support.nhm import nhm_here
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.ports import free_port
from tests.support.registry import MODEL, Registry
from tests.support.served import stored_features
from tests.support.served_weeks import answered_week, store

START = {"specialist": "technical", "action": "start", "challenger": "2"}


def ask(platform: Platform, config: Mapping[str, Any]) -> ExecuteInProcessResult:
    """Run the job with this configuration, as the launchpad does."""
    job = build_definitions(platform.settings).resolve_job_def(AB_TEST_JOB)
    return job.execute_in_process(
        instance=platform.instance,
        raise_on_error=False,
        run_config={**QUIET, "ops": {AB_OP: {"config": dict(config)}}},
        tags={"user": "ada"},
    )


def form_of(platform: Platform) -> dict[str, Any]:
    """What the launchpad fills in for whoever chooses a specialist."""
    job = build_definitions(platform.settings).resolve_job_def(AB_TEST_JOB)
    return dict(job.partitioned_config.get_run_config_for_partition_key("technical")["ops"][AB_OP]["config"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"challenger": "v2"}, "challenger: 'v2' is no version"),
        ({"challenger": None}, "challenger: None is no version"),
        ({"mode": "shadow"}, "mode: 'shadow' is neither replay nor live"),
        ({"split": 1.0}, "split: 1 is not between 0 and 1"),
        ({"days": 0.0}, "days: 0 is not between 0 and 366"),
        ({"min_samples": 0}, "min_samples: 0 is not at least 1"),
    ],
)
def test_a_request_that_cannot_be_one_is_refused_before_a_run_exists(platform: Platform, config, said: str):
    with pytest.raises(DagsterConfigMappingFunctionError) as refused:
        ask(platform, START | config)
    assert said in str(refused.value.__cause__)
    assert platform.instance.get_runs(RunsFilter(job_name=AB_TEST_JOB)) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"challenger": "2"}, "specialist"),
        (START | {"specialist": "oracle"}, "not in enum type Specialist got oracle"),
        (START | {"action": "pause"}, "not in enum type AbAction got pause"),
        (START | {"chalenger": "2"}, "unexpected config entry"),
    ],
)
def test_the_launchpad_names_what_is_missing_or_mistyped(platform: Platform, config, said: str):
    with pytest.raises(DagsterInvalidConfigError, match=said):
        ask(platform, config)


def test_the_launchpad_fills_in_the_newest_candidate_and_the_defaults(platform: Platform):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END - ONE_WEEK, stage="Production")
    registry.add(WEEK_END)
    filled = {"mode": "replay", "split": 0.9, "days": 7.0, "min_samples": 100}
    assert form_of(platform) == START | filled
    away = platform.with_settings(mlflow_tracking_uri=f"http://127.0.0.1:{free_port()}", mlflow_timeout_s=1)
    assert form_of(away) == {"specialist": "technical", "action": "start"} | filled
    result = ask(platform, form_of(platform))
    assert platform.tags(result)["nhm/specialist"] == "technical"
    assert result.output_for_node(AB_OP)["summary"].startswith("started: A/B test of version 2 against version 1")
    later = platform.with_settings(nhm_now=NOW + ONE_WEEK / 2)
    same = ask(later, START).output_for_node(AB_OP)["summary"]
    assert same.startswith("runs already: A/B test of version 2 against version 1")
    assert f"until {NOW + ONE_WEEK:%Y-%m-%d}" in same
    again = ask(platform, START | {"challenger": "1"})
    assert "an A/B test of version 2 against version 1" in failed_step(again)[1]
    assert "runs already, with challenger 2, not 1. To start another one, end it first" in failed_step(again)[1]
    # As `nhm status` shows it among the last runs.
    assert platform.tags(again)["nhm/reason"].startswith("nothing was started: an A/B test of version 2")
    longer = failed_step(ask(later, START | {"days": 30.0, "split": 0.5}))[1]
    assert "runs already, with split 0.9, not 0.5, days 7, not 30. To start another one" in longer
    assert "`nhm ab stop technical`" in longer


def test_a_test_whose_challenger_was_deleted_in_mlflow_can_be_stopped(platform: Platform):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END - ONE_WEEK, stage="Production")
    registry.add(WEEK_END)
    assert ask(platform, START).success
    registry.client().delete_model_version(MODEL, "2")
    said = ask(platform, {"specialist": "technical", "action": "stop"}).output_for_node(AB_OP)["summary"]
    assert said.endswith("Nothing was promoted, and version 2 does not exist any more.")


def test_why_the_verdict_was_not_measured_is_a_sentence_of_its_own(platform: Platform, monkeypatch):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END - ONE_WEEK, stage="Production")
    registry.add(WEEK_END)
    assert ask(platform, START).success

    def cannot(*_: object) -> None:
        raise RegistryError("its files are gone")

    monkeypatch.setattr(ab_job, "measure_test", cannot)
    said = ask(platform, {"specialist": "technical", "action": "stop"}).output_for_node(AB_OP)["summary"]
    assert "Its verdict was not measured: its files are gone. Nothing was promoted" in said


def test_who_stops_a_test_again_is_told_where_its_challenger_is_now(platform: Platform):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END - ONE_WEEK, stage="Production")
    registry.add(WEEK_END)
    stop = {"specialist": "technical", "action": "stop"}
    assert ask(platform, START).success
    assert "Nothing was promoted: to let the gate decide" in ask(platform, stop).output_for_node(AB_OP)["summary"]
    registry.client().transition_model_version_stage(MODEL, "2", "Production", archive_existing_versions=True)
    said = ask(platform, stop).output_for_node(AB_OP)["summary"]
    assert said.endswith("Version 2 is in stage Production now.")


def test_a_challenger_of_an_older_window_is_not_sent_to_the_gate(platform: Platform):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END, stage="Production")
    registry.add(WEEK_END - ONE_WEEK)
    assert ask(platform, START).success
    said = ask(platform, {"specialist": "technical", "action": "stop"}).output_for_node(AB_OP)["summary"]
    assert "Nothing was promoted, and version 2 cannot be: the champion (version 1) learned from a newer window" in said
    assert "nhm retrain" not in said


def plans_since(platform: Platform, start, count: int) -> None:
    """Opinions of version 1 on plans like those that it learned, all of them reviewed."""
    frames = FrameIOManager(platform.settings.storage)
    frame = frames.read(frames.file_of("feedback_dataset", "technical", WEEK), "feedback_dataset")
    rows = frame[list(FEATURE_NAMES)].sample(count, replace=True, random_state=3)
    opinions, reviews = answered_week(start, count, version="1", seed=9, days=1.4)
    features = [
        stored_features(
            one["plan_id"],
            timestamp=one["evaluated_at"].timestamp(),
            **{name: None if np.isnan(value) else value for name, value in row.items()},
        )
        for one, (_, row) in zip(opinions, rows.iterrows(), strict=True)
    ]
    store(platform.database, [(opinions, reviews)])
    platform.database["plan_features"].insert_many(features)


def measured(platform: Platform, week: str) -> ServedQuality:
    partition = Partition.parse(week, "technical")
    now = platform.settings.now()
    return Measurement(platform.database, platform.mlflow, partition, platform.settings, now, print).measure()


@pytest.mark.slow
@pytest.mark.servers
def test_a_test_from_start_to_end_promotes_nothing_and_the_gate_decides_about_the_winner(platform: Platform):
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    lenient = platform.with_settings(max_f1_regression=1.0)
    assert lenient.tags(lenient.retrain())["nhm/outcome"] == "promoted"
    strict = lenient.with_settings(force_retrain=True, precision_threshold=0.999)
    assert strict.tags(strict.retrain())["nhm/outcome"] == "held"
    assert ask(platform, form_of(platform)).success

    waiting = lenient.with_settings(force_retrain=True)
    tags = waiting.tags(waiting.retrain())
    assert (tags["nhm/outcome"], tags["nhm/held_as"]) == ("held", "uncertain")
    assert "version 3 waits for the end of the A/B test of version 2 against version 1" in tags["nhm/reason"]
    registry = Registry(platform.settings.nhm_home / "mlflow")
    assert registry.state() == {
        "stages": {"1": "Production", "2": "Staging", "3": "None"},
        "aliases": {"candidate": "3", "production": "1"},
    }
    entry = platform.database["model_audit_log"].find_one({"kind": "registered", "version": "3"})
    assert entry["to_stage"] == "None"

    # What version 1 said is right; version 2 is asked about other plans' features, so it only guesses.
    plans_since(platform, NOW, 400)
    later = platform.with_settings(nhm_now=NOW + ONE_WEEK / 2)
    found = measured(later, "2026-03-15").ab_test
    assert (found.answered, found.unusable, found.marked, found.disagreeing) == (400, 0, 0, 0)
    assert (found.reviewed, sum(found.plans.values())) == (400, 400)
    assert found.plans["model_a"] > 5 * found.plans["model_b"]
    assert found.auc.sign == -1
    assert found.verdict.word == "worse"
    assert measured(later, "2026-03-15").ab_test == found

    stopped = ask(later, {"specialist": "technical", "action": "stop"})
    said = stopped.output_for_node(AB_OP)["summary"]
    assert "Version 2 is worse than version 1: AUC" in said
    assert "Nothing was promoted: to let the gate decide about version 2, run" in said
    assert f"`nhm retrain --specialist technical --week {WEEK}`" in said
    assert registry.state()["stages"] == {"1": "Production", "2": "Staging", "3": "Staging"}
    ended = platform.database["model_audit_log"].find_one({"kind": "ab_test_ended"})
    assert (ended["actor"], ended["version"]) == ("ada", "2")
    assert ended["reason"].startswith("Version 2 is worse")
    assert lenient.tags(lenient.with_settings(nhm_now=NOW + ONE_WEEK / 2).retrain())["nhm/outcome"] == "promoted"


@pytest.mark.servers
@pytest.mark.slow
def test_the_command_starts_shows_and_stops_a_test(platform: Platform, mongod_uri: str):
    registry = Registry(platform.settings.nhm_home / "mlflow")
    registry.add(WEEK_END - ONE_WEEK, stage="Production")
    registry.add(WEEK_END)
    settings = {
        "nhm_home": platform.settings.nhm_home,
        "nhm_now": NOW.isoformat(),
        "mongodb_uri": mongod_uri,
        "mongodb_database": platform.database.name,
    }
    started = nhm_here("ab", "start", "technical", "--challenger", "2", "--days", "3", **settings)
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.startswith("technical: started: A/B test of version 2 against version 1 of " + MODEL)
    shown = nhm_here("ab", "status", "technical", **settings)
    assert shown.returncode == 0, shown.stderr
    assert "No plan with stored features was answered by version 1" in shown.stdout
    assert "ends the test" not in shown.stdout
    registry.client().delete_model_version(MODEL, "2")
    shown = nhm_here("ab", "status", "technical", **settings)
    assert "Version 2 was deleted in MLflow, so no further plans are compared: `nhm ab stop technical`" in shown.stdout
    opinions, reviews = answered_week(NOW, 1, version="1", days=0.1)
    store(platform.database, [(opinions, reviews)])
    platform.database["plan_features"].insert_one(stored_features(opinions[0]["plan_id"], timestamp=NOW.timestamp()))
    failed = nhm_here("ab", "status", "technical", **settings | {"nhm_now": (NOW + ONE_WEEK / 14).isoformat()})
    assert failed.stderr.startswith("nhm: the A/B test of version 2 against version 1 of technical-evaluator until")
    assert "cannot be measured: technical-evaluator has no version '2'" in failed.stderr
    assert "`nhm ab stop technical` ends the test" in failed.stderr
    over = nhm_here("ab", "stop", "technical", **settings)
    assert over.returncode == 0, over.stderr
    assert "Nothing was promoted" in over.stdout
