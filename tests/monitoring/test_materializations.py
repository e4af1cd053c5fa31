"""What the newest datasets and reports say, whatever came before, and whoever recorded them."""

from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    MetadataValue,
)

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, FEEDBACK_DATASET, SERVED_QUALITY
from nhm_assets.domain.dagster_names import REPORT_METADATA, SERVING_ON_LINE
from nhm_assets.domain.outcomes import REPORT_DIGEST
from nhm_assets.domain.records import EvaluationReport, Pooled, Settling
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.domain.shadow_records import Shadow
from nhm_assets.evaluation.fold_checks import serving_on_line
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.materializations import Materializations
from nhm_assets.monitoring.metric import Readings
from nhm_assets.served.checks import judge_week
from nhm_assets.served.tables import metadata_of
from nhm_assets.settings import Settings
from nhm_assets.steps.tables import pairs
from tests.support.dagster_internals import AssetCheckEvaluationPlanned, DefaultPartitionsSubset
from tests.support.platform import Platform
from tests.support.processes import ROOT
from tests.support.reports import RULES, champion, metrics, new_rows, report
from tests.support.retrainings import partition

TECHNICAL = ("technical",)


def record(platform: Platform, asset: Any, week: str = "2026-03-01", **metadata: Any) -> None:
    made = AssetMaterialization(asset, partition=str(partition(week).key), metadata=metadata)
    platform.instance.report_runless_asset_event(made)


def record_verdict(platform: Platform, *, passed: bool, digest: str) -> None:
    verdict = AssetCheckEvaluation(
        EVALUATION_REPORT,
        SERVING_ON_LINE,
        passed=passed,
        severity=AssetCheckSeverity.WARN,
        metadata={REPORT_DIGEST: MetadataValue.text(digest)},
        partition=str(partition("2026-03-01").key),
    )
    platform.instance.report_runless_asset_event(verdict)


def plan_verdict(platform: Platform) -> None:
    """What a run of the partition records when it starts."""
    week = DefaultPartitionsSubset({str(partition("2026-03-01").key)})
    planned = AssetCheckEvaluationPlanned(
        asset_key=EVALUATION_REPORT, check_name=SERVING_ON_LINE, partitions_subset=week
    )
    event = DagsterEvent(
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value, job_name="planned", event_specific_data=planned
    )
    platform.instance.report_dagster_event(event, str(uuid4()))


def shown(platform: Platform, made: Materializations | None = None) -> Readings:
    made = made or Materializations()
    made.update(platform.instance)
    readings = Readings()
    made.put(readings, "http://127.0.0.1:3000")
    return readings


def as_metadata(**changes: Any) -> dict[str, Any]:
    return as_metadata_of(report(**changes))


def as_metadata_of(recorded: EvaluationReport) -> dict[str, Any]:
    return {REPORT_METADATA: MetadataValue.json(recorded.model_dump(mode="json"))}


def test_the_newest_week_counts_also_if_an_older_one_is_made_again(platform: Platform):
    made = Materializations()
    record(platform, FEEDBACK_DATASET, "2026-03-08", real_rows=2, synthetic_rows=0)
    record(platform, FEEDBACK_DATASET, "2026-03-01", real_rows=1, synthetic_rows=0)
    rows = {("technical", "real"): 2.0, ("technical", "synthetic"): 0.0}
    assert shown(platform, made).values[own_metrics.DATASET_ROWS] == rows
    record(platform, FEEDBACK_DATASET, "2026-03-08", real_rows=3, synthetic_rows=0)
    assert shown(platform, made).values[own_metrics.DATASET_ROWS][("technical", "real")] == 3


def test_a_dataset_of_another_release_shows_what_it_has(platform: Platform):
    record(platform, FEEDBACK_DATASET, real_rows=2)
    values = shown(platform).values
    assert values == {own_metrics.DATASET_ROWS: {("technical", "real"): 2.0}}


def test_candidate_and_champion_are_shown_as_the_report_has_them(platform: Platform):
    record(platform, EVALUATION_REPORT, **as_metadata(candidate=metrics(f1=0.9), champion=champion(0.8)))
    quality = shown(platform).values[own_metrics.QUALITY]
    assert (quality["technical", "candidate", "f1"], quality["technical", "champion", "f1"]) == (0.9, 0.8)


def test_calibration_and_agreement_are_shown_as_the_report_has_them(platform: Platform):
    shadow = Shadow(champion="1", since=None, plans=10, same_side=0.9, same_class=0.8, agreement=0.75)
    of_report = as_metadata(candidate=metrics(brier=0.3), champion=champion(0.8), shadow=shadow)
    record(platform, EVALUATION_REPORT, **of_report)
    values = shown(platform).values
    assert values[own_metrics.SHADOW_AGREEMENT] == {TECHNICAL: 0.75}
    brier = values[own_metrics.BRIER]
    assert brier["technical", "candidate"] == 0.3
    assert {role for _, role in brier} == {"candidate", "champion", "prior"}


def test_the_newest_report_is_named_with_its_address(platform: Platform):
    record(platform, EVALUATION_REPORT, **as_metadata())
    address = "http://127.0.0.1:3000/assets/evaluation_report?view=partitions&partition=technical%7C2026-03-01"
    assert shown(platform).values[own_metrics.NEWEST_REPORT] == {("technical", "2026-03-01", "2", address): 1.0}


@pytest.mark.parametrize(
    ("pooled", "on_line"),
    [(Pooled(tp=160, fp=30, fn=40, tn=170), 1.0), (Pooled(tp=80, fp=120, fn=120, tn=80), 0.0)],
    ids=["on the line", "below it"],
)
def test_a_champion_that_has_sunk_below_the_thresholds_is_shown(platform: Platform, pooled: Pooled, on_line: float):
    recorded = report(champion=champion(0.8), new_rows=new_rows(pooled=pooled), compared_with="1")
    made = Materializations()
    record(platform, EVALUATION_REPORT, **as_metadata_of(recorded))
    assert own_metrics.SERVING_ON_LINE not in shown(platform, made).values
    record_verdict(platform, passed=serving_on_line(recorded, RULES).passed, digest=recorded.digest())
    assert shown(platform, made).values[own_metrics.SERVING_ON_LINE] == {TECHNICAL: on_line}


def test_a_run_that_has_only_planned_the_check_hides_no_verdict(platform: Platform):
    recorded = report(champion=champion(0.8), new_rows=new_rows(pooled=Pooled(tp=80, fp=120, fn=120, tn=80)))
    record(platform, EVALUATION_REPORT, **as_metadata_of(recorded))
    plan_verdict(platform)
    assert own_metrics.SERVING_ON_LINE not in shown(platform).values
    record_verdict(platform, passed=False, digest=recorded.digest())
    plan_verdict(platform)
    assert shown(platform).values[own_metrics.SERVING_ON_LINE] == {TECHNICAL: 0.0}


def test_a_verdict_on_another_report_says_nothing_of_the_champion(platform: Platform):
    asked = new_rows(pooled=Pooled(tp=80, fp=120, fn=120, tn=80))
    record(platform, EVALUATION_REPORT, **as_metadata(champion=champion(0.8), new_rows=asked, compared_with="1"))
    record_verdict(platform, passed=False, digest="of an earlier report")
    assert own_metrics.SERVING_ON_LINE not in shown(platform).values


def test_how_sure_the_gate_is_and_what_would_settle_it(platform: Platform):
    settling = Settling(plans=120, approve=50, not_approve=70, passes=0.5, below=0.3)
    record(platform, EVALUATION_REPORT, **as_metadata(flip_rate=0.4, settling=settling))
    values = shown(platform).values
    assert values[own_metrics.FLIP_RATE] == {TECHNICAL: 0.4}
    assert values[own_metrics.MISSING_PLANS] == {TECHNICAL: 120}
    assert values[own_metrics.MISSING_OPINIONS] == {("technical", "approve"): 50, ("technical", "not_approve"): 70}


def test_a_served_week_is_shown_as_it_was_measured(platform: Platform):
    stored = (ROOT / "tests/data/records/ServedQuality.3.json").read_text()
    quality = ServedQuality.model_validate_json(stored)
    record(platform, SERVED_QUALITY, **metadata_of(quality, judge_week(quality, Settings())))
    values = shown(platform).values
    served, auc = quality.agreement(quality.version), quality.ab_test.auc
    found = values[own_metrics.SERVED_QUALITY]
    assert found["technical", "f1"] == pytest.approx(served.calls.f1)
    assert found["technical", "unattended"] == pytest.approx(served.unattended / served.reviewed)
    assert values[own_metrics.SERVED_OPINIONS]["technical", "fallback"] == quality.answered.fallbacks
    assert values[own_metrics.SERVED_UNTIL] == {TECHNICAL: quality.end.timestamp()}
    warns = values[own_metrics.SERVED_WARNS]
    assert {check for _, check in warns} == {verdict.check for verdict in judge_week(quality, Settings())}
    assert set(warns.values()) <= {0.0, 1.0}
    bounds = values[own_metrics.AB_DIFFERENCE]
    assert [bounds["technical", name] for name in ("low", "difference", "high")] == [auc.low, auc.value, auc.high]


def test_what_nothing_settles_has_no_number(platform: Platform):
    nothing = Settling(plans=None, approve=None, not_approve=None, passes=None, below=None)
    record(platform, EVALUATION_REPORT, **as_metadata(flip_rate=0.5, settling=nothing))
    assert own_metrics.MISSING_PLANS not in shown(platform).values


@pytest.mark.parametrize("recorded", [{}, {REPORT_METADATA: MetadataValue.json({"schema_version": 99})}])
def test_a_report_that_cannot_be_read_and_one_without_a_champion_say_nothing_about_it(
    platform: Platform, recorded: dict[str, Any]
):
    record(platform, EVALUATION_REPORT, **recorded)
    assert own_metrics.SERVING_ON_LINE not in shown(platform).values
    record(platform, EVALUATION_REPORT, **as_metadata())
    assert own_metrics.SERVING_ON_LINE not in shown(platform).values


@pytest.mark.parametrize(
    ("labels", "quarantined"),
    [
        ({"0": 3, "1": 5}, {"invalid_rating": 2}),
        (pairs("class", "rows", {"reject": 3, "approve": 5}), pairs("reason", "documents", {"invalid_rating": 2})),
    ],
    ids=["as earlier releases recorded it", "as tables"],
)
def test_counts_of_a_dataset_are_read_as_json_and_as_tables(platform: Platform, labels: Any, quarantined: Any):
    record(platform, FEEDBACK_DATASET, labels=labels, quarantined=quarantined, real_rows=8, synthetic_rows=0)
    values = shown(platform).values
    assert values[own_metrics.LABEL_ROWS] == {
        ("technical", "reject"): 3.0,
        ("technical", "approve"): 5.0,
        ("technical", "review_required"): 0.0,
    }
    assert values[own_metrics.QUARANTINED] == {("technical", "invalid_rating"): 2.0}
    assert values[own_metrics.REJECTED] == {TECHNICAL: 0.2}
