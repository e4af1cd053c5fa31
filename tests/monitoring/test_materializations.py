"""What the newest datasets and reports say, whatever came before, and whoever recorded them."""

from typing import Any

import pytest
from dagster import AssetMaterialization, MetadataValue

from nhm_assets.domain.dagster_names import EVALUATION_REPORT, FEEDBACK_DATASET
from nhm_assets.domain.records import Pooled, Settling
from nhm_assets.evaluation.gate_rules import GateRules
from nhm_assets.evaluation.report_cache import REPORT_METADATA
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.materializations import Materializations
from nhm_assets.monitoring.metric import Readings
from tests.support.platform import Platform
from tests.support.reports import champion, metrics, new_rows, report
from tests.support.retrainings import partition

TECHNICAL = ("technical",)


def record(platform: Platform, asset: Any, week: str = "2026-03-01", **metadata: Any) -> None:
    made = AssetMaterialization(asset, partition=str(partition(week).key), metadata=metadata)
    platform.instance.report_runless_asset_event(made)


def shown(platform: Platform, made: Materializations | None = None) -> Readings:
    made = made or Materializations()
    made.update(platform.instance)
    readings = Readings()
    made.put(readings, GateRules.of(platform.settings))
    return readings


def as_metadata(**changes: Any) -> dict[str, Any]:
    return {REPORT_METADATA: MetadataValue.json(report(**changes).model_dump(mode="json"))}


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


@pytest.mark.parametrize(
    ("pooled", "on_line"),
    [(Pooled(tp=160, fp=30, fn=40, tn=170), 1.0), (Pooled(tp=80, fp=120, fn=120, tn=80), 0.0)],
    ids=["on the line", "below it"],
)
def test_a_champion_that_has_sunk_below_the_thresholds_is_shown(platform: Platform, pooled: Pooled, on_line: float):
    asked = new_rows(pooled=pooled)
    record(platform, EVALUATION_REPORT, **as_metadata(champion=champion(0.8), new_rows=asked, compared_with="1"))
    assert shown(platform).values[own_metrics.SERVING_ON_LINE] == {TECHNICAL: on_line}


def test_how_sure_the_gate_is_and_what_would_settle_it(platform: Platform):
    settling = Settling(plans=120, approve=50, not_approve=70, passes=0.5, below=0.3)
    record(platform, EVALUATION_REPORT, **as_metadata(flip_rate=0.4, settling=settling))
    values = shown(platform).values
    assert values[own_metrics.FLIP_RATE] == {TECHNICAL: 0.4}
    assert values[own_metrics.MISSING_PLANS] == {TECHNICAL: 120}
    assert values[own_metrics.MISSING_OPINIONS] == {("technical", "approve"): 50, ("technical", "not_approve"): 70}


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
