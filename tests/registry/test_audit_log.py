"""The audit log: who did what with which version, recorded once."""

from datetime import timedelta
from typing import Any

import pytest
from dagster import DagsterRun

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.outcomes import HeldAs, Outcome
from nhm_assets.registry.audit_log import (
    ACTOR_TAG,
    AUDIT_LOG,
    actor,
    below_in_a_row,
    evidence,
    is_repeat,
    learned_in_full,
    origin,
    record_broken,
    record_decision,
    record_registration,
    registration,
)
from nhm_assets.registry.promotion_lock import hold_lock
from tests.support.documents import NOW, WEEK, WEEK_END, WINDOW_START
from tests.support.reports import champion, increment_record, metrics, report, trained_model
from tests.support.retrainings import partition


@pytest.fixture
def log(database):
    return database[AUDIT_LOG]


def dagster_run(run_id: str = "run-a") -> DagsterRun:
    return DagsterRun(job_name=JOB, run_id=run_id)


def register(log: Any, **changes: Any) -> None:
    record_registration(log, trained_model(**changes), stage="Staging", run=dagster_run(), now=NOW)


def hold(log: Any, run_id: str = "run-a", **changes: Any) -> None:
    record_decision(
        log, report(**changes), Outcome.HELD, reason="held by f1_threshold", run=dagster_run(run_id), now=NOW
    )


def test_a_registration_records_the_version_and_its_data(log):
    register(log)
    (entry,) = log.find()
    assert entry == {
        "_id": "registered:technical-evaluator:2",
        "kind": "registered",
        "specialist": "technical",
        "week": WEEK,
        "model": "technical-evaluator",
        "version": "2",
        "window": {"start": WINDOW_START, "end": WEEK_END},
        "data_version": "d" * 32,
        "mlflow_run_id": "run-2",
        "from_stage": "None",
        "to_stage": "Staging",
        "reason": "trained on 85 of 100 rows (real)",
        "rows": {"train": 70, "validation": 15, "test": 15},
        "sha256": "5" * 64,
        "dagster_run_id": "run-a",
        "actor": f"dagster job {JOB}",
        "origin": "UI",
        "at": NOW,
    }


def test_an_increment_says_how_much_feedback_it_learned_not_how_large_its_dataset_is(log):
    register(log, increment=increment_record("1", feedback=23))
    assert log.find_one()["reason"] == "trained on 23 rows (real)"


def test_no_entry_has_a_field_timestamp(log):
    """A foreign TTL index on that field would delete the entry."""
    register(log)
    hold(log)
    run = dagster_run().with_tags({})
    record_broken(log, partition(), run=run, now=NOW)
    with hold_lock(log, "technical-evaluator", {"kind": "promotion", "at": NOW}, recover=lambda _: None, wait_s=1):
        entries = list(log.find())
    assert len(entries) == 4
    assert [entry for entry in entries if "timestamp" in entry] == []


@pytest.mark.parametrize(
    ("now", "repeats"),
    [
        ("held by f1_threshold (below the line): F1 is low", True),
        ("held by recall_threshold, f1_threshold (below the line): F1 is low", False),
    ],
)
def test_a_decision_in_the_words_of_an_earlier_release_is_repeated(log, now, repeats):
    before = "held by f1_threshold as below: precision reaches 0.750 with probability 0.012 only"
    record_decision(log, report(), Outcome.HELD, reason=before, run=dagster_run("run-a"), now=NOW)
    assert is_repeat(log, report(), Outcome.HELD, now, run=dagster_run("run-b")) is repeats


def test_a_repeated_registration_does_not_change_the_log(log):
    register(log)
    before = list(log.find())
    record_registration(log, trained_model(), stage="None", run=dagster_run("run-b"), now=NOW + timedelta(days=1))
    assert list(log.find()) == before


def test_a_number_that_was_given_twice_belongs_to_the_later_version(log):
    """MLflow numbers the versions of a model that was deleted from 1 again."""
    register(log)
    register(log, run_id="run-9", sha256="9" * 64, reused=True)
    assert registration(log, "technical-evaluator", "2")["sha256"] == "5" * 64
    for _ in range(2):
        register(log, run_id="run-9", sha256="9" * 64)
    assert registration(log, "technical-evaluator", "2")["sha256"] == "9" * 64
    assert log.find_one({"_id": "registered:technical-evaluator:2:run-2"})["sha256"] == "5" * 64
    assert log.count_documents({}) == 2


def test_the_version_that_an_increment_corrects_is_known(log):
    register(log)
    register(log, version="3", increment=increment_record("2"))
    full = [learned_in_full(log, "technical-evaluator", version) for version in ("2", "3", "from elsewhere")]
    assert full == ["2", "2", "from elsewhere"]


def test_each_version_of_each_model_has_its_own_entry(log):
    register(log)
    register(log, version="3")
    register(log, model="business-evaluator", specialist="business")
    assert log.count_documents({}) == 3


def test_a_decision_records_reason_and_evidence(log):
    hold(log, champion=champion(0.9))
    entry = log.find_one()
    assert (entry["kind"], entry["reason"]) == ("held", "held by f1_threshold")
    assert entry["metrics"] == {"precision": 0.9, "recall": 0.85, "f1": 0.87, "accuracy": 0.8}
    assert entry["champion"] == {"version": "1", "precision": 0.9, "recall": 0.85, "f1": 0.9, "accuracy": 0.8}
    assert entry["report_digest"] == report(champion=champion(0.9)).digest()


def test_a_decision_is_recorded_once_per_run(log):
    hold(log)
    hold(log)
    assert log.count_documents({}) == 1
    hold(log, run_id="run-b")
    assert log.count_documents({}) == 2


def test_evidence_without_a_champion_is_none():
    assert evidence(report(candidate=metrics(f1=0.8)))["champion"] is None


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({ACTOR_TAG: "nhm retrain by ada", "user": "ada"}, "nhm retrain by ada"),
        ({"user": "ada"}, "ada"),
        ({}, f"dagster job {JOB}"),
    ],
    ids=["named by its launcher", "started in the UI", "neither"],
)
def test_the_actor_comes_from_the_tags_of_the_run(tags, name):
    assert actor(DagsterRun(job_name=JOB, run_id="run-a", tags=tags)) == name


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ({}, "UI"),
        ({"dagster/schedule_name": "weekly_retraining_schedule"}, "schedule"),
        ({"dagster/sensor_name": "feedback_volume_sensor"}, "sensor"),
        ({"dagster/backfill": "abc"}, "backfill"),
        ({".dagster/nhm_process": "host:1"}, "command"),
        ({".dagster/nhm_process": ""}, "UI"),
        ({"dagster/schedule_name": "s", "dagster/parent_run_id": "run-b"}, "UI"),
        ({"dagster/schedule_name": "s", "dagster/parent_run_id": "run-b", "dagster/retry_number": "1"}, "schedule"),
    ],
)
def test_an_entry_says_from_where_its_run_was_started(tags, place):
    """A person's re-execution has the tags of the first run too."""
    assert origin(DagsterRun(job_name=JOB, run_id="run-a", tags=tags)) == place


@pytest.mark.parametrize(
    ("history", "in_a_row"),
    [
        ("", 0),
        ("b", 1),
        ("bbb", 3),
        ("bbu", 0),
        ("bub", 1),
        ("pbb", 2),
        ("bbp", 0),
        # Runs that decided about no new candidate count neither way.
        ("b=bsb", 3),
        ("bx", 1),
        # A run that died after the record, and its retry.
        ("bbr", 2),
    ],
)
def test_candidates_below_the_line_are_counted_since_the_last_other_decision(log, history, in_a_row):
    """b: below, u: uncertain, p: promoted, =: unchanged, s: superseded; below too: x of another specialist, r again."""
    outcomes = {"p": Outcome.PROMOTED, "=": Outcome.UNCHANGED, "s": Outcome.SUPERSEDED}
    for number, letter in enumerate(history):
        model = "business-evaluator" if letter == "x" else "technical-evaluator"
        record_decision(
            log,
            report(model=model, version=str(number - (letter == "r"))),
            outcomes.get(letter, Outcome.HELD),
            reason="",
            held_as={"u": HeldAs.UNCERTAIN, "p": None, "s": None}.get(letter, HeldAs.BELOW),
            run=dagster_run(f"run-{number}"),
            now=NOW + timedelta(days=7 * number),
        )
    assert below_in_a_row(log, "technical-evaluator") == in_a_row


def test_a_held_candidate_is_recorded_with_what_the_rows_say_of_it(log):
    record_decision(log, report(), Outcome.HELD, reason="", held_as=HeldAs.BELOW, run=dagster_run(), now=NOW)
    assert log.find_one()["held_as"] == "below"
