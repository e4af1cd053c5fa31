"""The Grafana dashboards are in step with the metrics, and every panel says what to do."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from nhm_assets.monitoring.exporter import METRICS
from nhm_assets.monitoring.metric import Kind
from tests.support.dashboards import Panel, dashboards, panels
from tests.support.manifests import find, with_component
from tests.support.processes import ROOT
from tests.support.prometheus import rules

KNOWN = {metric.name for metric in METRICS} | {
    f"{metric.name}_bucket" for metric in METRICS if metric.kind is Kind.HISTOGRAM
}
NOT_OURS = {"ALERTS", "process_resident_memory_bytes"}
ALL = list(panels())


def unknown_names(expression: str) -> set[str]:
    """Metrics in an expression that nobody exports."""
    selected = set(
        re.findall(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)(?=\{|\[|$|\)| [-+*/<>=])", re.sub(r'"[^"]*"', '""', expression))
    )
    words = {"by", "le", "on", "specialist", "metric", "outcome", "name"}
    return {name for name in selected if name not in KNOWN | NOT_OURS | words}


def test_there_are_four_dashboards_each_with_the_variable_specialist():
    found = dashboards()
    assert set(found) == {"nhm-now", "nhm-quality", "nhm-feedback", "nhm-platform"}
    for name, dashboard in found.items():
        assert dashboard["uid"] == name
        assert "specialist" in {variable["name"] for variable in dashboard["templating"]["list"]}
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize("panel", ALL, ids=lambda panel: f"{panel.dashboard}: {panel.title}")
def test_a_panel_shows_metrics_that_exist_and_says_what_to_do(panel: Panel):
    assert panel.expressions
    assert [unknown_names(expression) for expression in panel.expressions] == [set()] * len(panel.expressions)
    assert panel.description.endswith(".")
    sections = {rule["alert"] for rule in rules()}
    named = set(re.findall(r"\b(?:Specialist|Nhm)[A-Z]\w+", panel.description))
    assert named <= sections


def test_a_metric_that_nobody_exports_is_noticed():
    assert unknown_names("time() - max by (name) (nhm_gone)") == {"nhm_gone"}
    assert unknown_names('rate(nhm_runs_ended{specialist=~"$specialist"}[1d])') == {"nhm_runs_ended"}


def test_no_two_panels_lie_on_each_other():
    for one, other in combinations(ALL, 2):
        if one.dashboard == other.dashboard:
            (left, top, width, height), (x, y, w, h) = one.place, other.place
            apart = left + width <= x or x + w <= left or top + height <= y or y + h <= top
            assert apart, (one.title, other.title)
        assert one.place[0] + one.place[2] <= 24


def test_the_component_brings_them_where_the_sidecar_of_grafana_looks(tmp_path: Path):
    config = find(with_component(tmp_path, "monitoring"), "ConfigMap", "nhm-dashboards")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = {path.name for path in (ROOT / "k8s/components/monitoring/dashboards").iterdir()}
    assert config["data"].keys() == files
