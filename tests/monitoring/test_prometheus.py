"""A real Prometheus scrapes the real exporter after real runs: every alert's expression has data, or rightly none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.monitoring.exporter import METRICS, Exporter, serve
from tests.monitoring.test_exporter import ABSENT_AFTER_A_FIRST_PROMOTION, put_documents, something_of_everything
from tests.support.dashboards import asked, panels
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.prometheus import Prometheus, prometheus, rule_groups, rules

EXPRESSIONS_OF_THE_FIELD = (
    'count(mlflow_model_stage{stage="Production"})',
    "neural_hive_mlflow_model_f1 < 0.72",
    'sum by (specialist_type, status) (increase(neural_hive_retraining_triggers_total{status="failed"}[1h]))',
    "neural_hive_feedback_count_current / neural_hive_retraining_feedback_threshold",
    "time() - neural_hive_retraining_last_trigger_timestamp",
    "histogram_quantile(0.95, sum by (le) (rate(neural_hive_retraining_mlflow_run_duration_seconds_bucket[1h])))",
    'neural_hive_retraining_model_performance{metric_name="f1"}',
    'sum by (specialist_type) (neural_hive_retraining_dataset_size{dataset_type="total"})',
    "time() - neural_hive_auto_retrain_last_success_timestamp",
    "avg by (specialist_type) (neural_hive_model_performance_score)",
)
"""As dashboards and alerts of other systems ask. Models below the line are rightly none."""
EMPTY = {"neural_hive_mlflow_model_f1 < 0.72"}
NOTHING_YET = ("ALERTS", 'role="champion"', "nhm_shadow_agreement_ratio", "nhm_served_quality_ratio", "nhm_ab_test")
"""In expressions of panels that are rightly empty here: no alert fires yet, the first version has no champion, and it
has given no opinion."""


@pytest.mark.servers
def test_every_expression_has_data_or_rightly_none(platform: Platform, tmp_path: Path):
    put_documents(platform)
    exporter, port = Exporter.of(platform.settings, lambda: platform.instance), free_port()
    exporter.refresh()
    server, _ = serve(exporter, "127.0.0.1", port)
    try:
        with prometheus(tmp_path, targets=[f"127.0.0.1:{port}"], groups=rule_groups()) as scraped:
            assert eventually(lambda: bool(scraped.query("nhm_up == 1")))
            assert platform.retrain().success
            something_of_everything(platform)
            exporter.refresh()
            # The scrape that is under way may show what was before.
            assert eventually(lambda: not _metrics_without_data(scraped)), _metrics_without_data(scraped)
            _assert_all_expressions(scraped)
    finally:
        server.shutdown()
        server.server_close()


def _metrics_without_data(scraped: Prometheus) -> set[str]:
    expected = set(METRICS) - ABSENT_AFTER_A_FIRST_PROMOTION
    names = {f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name for metric in expected}
    return {name for name in names if not scraped.query(name)}


def _assert_without_data(scraped: Prometheus, expressions: Iterable[str], empty: set[str]) -> None:
    """Exactly these have no data. After a scrape that comes too late, nothing has any until the next one."""

    def found() -> set[str]:
        return {expression for expression in expressions if not scraped.query(expression)}

    assert eventually(lambda: found() == empty), found() ^ empty


def _assert_all_expressions(scraped: Prometheus) -> None:
    expressions = {asked(expression) for panel in panels() for expression in panel.expressions}
    empty = {expression for expression in expressions if any(part in expression for part in NOTHING_YET)}
    _assert_without_data(scraped, EXPRESSIONS_OF_THE_FIELD, EMPTY)
    _assert_without_data(scraped, expressions, empty)
    groups = scraped.get("rules")["groups"]
    evaluated = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert eventually(lambda: all(rule["health"] == "ok" for rule in _rules_of(scraped)))
    assert evaluated.keys() == {rule["alert"] for rule in rules()}
    # What is so on this platform: four specialists have no version, and a promotion is open, and so on.
    wanted = {
        "SpecialistModelNotPromoted",
        "SpecialistModelMovedByOthers",
        "SpecialistPromotionOpen",
        "NhmWeeklyTickMissed",
    }
    alerts: list[dict[str, Any]] = []

    def all_there() -> bool:
        alerts[:] = scraped.alerts()
        return {alert["labels"]["alertname"] for alert in alerts} >= wanted

    assert eventually(all_there), alerts
    for alert in alerts:
        for text in alert["annotations"].values():
            assert "<error" not in text
            assert "<no value>" not in text
    moved = next(one for one in alerts if one["labels"]["alertname"] == "SpecialistModelMovedByOthers")
    assert moved["annotations"]["run_url"].startswith("http://127.0.0.1:3000/runs/")
    assert moved["annotations"]["report_url"].startswith("http://127.0.0.1:3000/assets/evaluation_report?")
    about = {alert["labels"].get("specialist") for alert in alerts}
    assert {"business", "behavior", "evolution", "architecture"} <= about


def _rules_of(scraped: Prometheus) -> list[dict[str, str]]:
    return [rule for group in scraped.get("rules")["groups"] for rule in group["rules"]]
