"""The drift sensor: what starts a retraining, what does not, and how often."""

from datetime import timedelta
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetCheckSeverity, build_sensor_context

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.drift_records import Drift, Shift
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.resource_factories import mongo_of
from nhm_assets.runs.triggers import FEEDBACK_VOLUME, OTHER, mark_launched, new_trigger
from nhm_assets.served.monitoring import write_monitoring
from sensors.drift import drift_sensor
from tests.support.documents import NOW
from tests.support.planned_runs import planned_run
from tests.support.platform import Platform
from tests.support.served_weeks import promotion

RUNNING = running_week(NOW)
MOVED, STILL = Shift(name="density", psi=0.4, bar=0.2), Shift(name="density", psi=0.1, bar=0.2)
PARTITION = f"technical|{RUNNING}"


def measured(platform: Platform, *, week: str = RUNNING, version: str = "3", **fields: Any) -> None:
    """The drift of a week, as `served_quality` writes it."""
    drift = {"learned": 1000, "plans": 200, "answers": 200, "labels": 200, "important": ["density"]}
    parts = {"of_features": [STILL], "of_answers": [STILL], "of_labels": [STILL]} | fields
    quality = ServedQuality(
        specialist="technical",
        week=week,
        model="technical-evaluator",
        start=NOW - timedelta(days=2),
        end=NOW,
        version=version,
        drift=Drift(**(drift | parts)),
    )
    write_monitoring(platform.database, quality, warn=print)


def tick(platform: Platform, *, hours: float = 0) -> tuple[list[str], str]:
    """Partitions of the runs that an evaluation requests, and what it says if it requests none."""
    settings = platform.with_settings(nhm_now=NOW + timedelta(hours=hours)).settings
    context = build_sensor_context(
        instance=platform.instance, resources={"settings": settings, "mongo": mongo_of(settings)}
    )
    result = drift_sensor(context)
    said = str(result.skip_reason.skip_message) if result.skip_reason else ""
    return [str(request.partition_key) for request in result.run_requests or []], said


def test_much_drift_of_an_important_feature_starts_one_retraining(platform: Platform):
    assert tick(platform) == ([], "nothing has moved much")
    measured(platform, of_features=[MOVED])
    assert tick(platform)[0] == [PARTITION]
    (trigger,) = platform.database["retraining_triggers"].find()
    assert (trigger["kind"], trigger["specialist"], trigger["week"]) == ("drift", "technical", RUNNING)
    assert "density (PSI 0.400) moved much from what version 3 learned" in trigger["reason"]
    requested, said = tick(platform)
    assert (requested, "is being launched" in said) == ([], True)


def test_the_same_drift_starts_no_second_retraining(platform: Platform):
    measured(platform, of_features=[MOVED])
    tick(platform)
    (trigger,) = platform.database["retraining_triggers"].find()
    mark_launched(platform.database["retraining_triggers"], trigger["_id"], "run-1", NOW)
    requested, said = tick(platform, hours=24)
    assert (requested, "the next is possible at" in said) == ([], True)
    measured(platform, week=RUNNING, of_features=[MOVED])
    requested, said = tick(platform, hours=73)
    assert (requested, "was requested for that already" in said) == ([], True)


def test_another_retraining_cools_down_too(platform: Platform):
    partition = Partition.parse(RUNNING, "technical")
    other = new_trigger(OTHER, partition, window_days=30, requested_at=NOW - timedelta(hours=71))
    platform.database["retraining_triggers"].insert_one({**other, "_id": "run:1", "outcome": "held"})
    measured(platform, of_features=[MOVED])
    assert tick(platform)[0] == []
    assert tick(platform, hours=2)[0] == [PARTITION]


def test_an_increment_cools_nothing_down(platform: Platform):
    """It corrects answers, and leaves the version as it is from which the plans have moved away."""
    partition = Partition.parse(RUNNING, "technical")
    asked = {"window_days": 30, "requested_at": NOW - timedelta(hours=1)}
    increment = new_trigger(FEEDBACK_VOLUME, partition, number=1, increment=True, **asked)
    platform.database["retraining_triggers"].insert_one({**increment, "_id": "volume", "outcome": "promoted"})
    measured(platform, of_features=[MOVED])
    assert tick(platform)[0] == [PARTITION]


def test_drift_from_a_version_concerns_its_increments_too_and_starts_one_retraining(platform: Platform):
    for number, increment in enumerate(("4", "5")):
        corrects = {"_id": f"registered:technical-evaluator:{increment}", "kind": "registered", "increment_of": "3"}
        promoted = promotion(increment, NOW - timedelta(hours=2 - number))
        platform.database["model_audit_log"].insert_many([corrects, promoted])
    measured(platform, of_features=[MOVED])
    assert tick(platform)[0] == [PARTITION]
    platform.database["retraining_triggers"].update_one({}, {"$set": {"outcome": "held"}})
    measured(platform, of_features=[MOVED], version="4")
    requested, said = tick(platform, hours=73)
    assert (requested, "was requested for that already" in said) == ([], True)


@pytest.mark.parametrize(
    "fields",
    [
        {"of_labels": [MOVED]},
        {"of_answers": [MOVED]},
        {"of_features": [MOVED.model_copy(update={"name": "num_tasks"})]},
        {"of_features": [MOVED.model_copy(update={"psi": 0.24})]},
        {"of_features": [MOVED], "week": "2026-01-04"},
    ],
)
def test_nothing_else_starts_one(platform: Platform, fields: dict[str, Any]):
    measured(platform, **fields)
    assert tick(platform)[0] == []


def test_drift_from_a_version_that_was_replaced_starts_none(platform: Platform):
    measured(platform, of_features=[MOVED])
    platform.database["model_audit_log"].insert_one(promotion("4", NOW - timedelta(hours=1)))
    assert tick(platform)[0] == []


def judged(platform: Platform, *, passed: object, week: str = RUNNING, **metadata: str) -> None:
    platform.instance.report_runless_asset_event(
        AssetCheckEvaluation(
            asset_key=EVALUATION_REPORT,
            check_name="serving_on_line",
            passed=bool(passed),
            metadata=metadata,
            severity=AssetCheckSeverity.WARN,
            partition=str(Partition.parse(week, "technical").key),
        )
    )


@pytest.mark.parametrize(("passed", "requested"), [(False, [PARTITION]), (True, [])])
def test_a_served_version_below_the_line_starts_one(platform: Platform, passed: object, requested: list[str]):
    judged(platform, passed=passed)
    assert tick(platform)[0] == requested


def test_runs_that_have_not_evaluated_yet_change_nothing(platform: Platform):
    judged(platform, passed=False)
    planned_run(platform.instance, Partition.parse(RUNNING, "business"))
    assert tick(platform)[0] == [PARTITION]


@pytest.mark.parametrize(("serving", "requested"), [("3", [PARTITION]), ("4", [])], ids=["it serves", "replaced"])
def test_a_version_below_the_line_that_was_replaced_starts_none(platform: Platform, serving: str, requested: list[str]):
    judged(platform, passed=False, version="3")
    platform.database["model_audit_log"].insert_one(promotion(serving, NOW - timedelta(hours=1)))
    assert tick(platform)[0] == requested


def test_the_evaluation_of_an_old_week_changes_nothing(platform: Platform):
    judged(platform, passed=False, week="2026-01-04")
    assert tick(platform)[0] == []
    judged(platform, passed=False)
    judged(platform, passed=True, week="2026-01-11")
    assert tick(platform)[0] == [PARTITION]
