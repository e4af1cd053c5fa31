"""Every alert fires when it should, not too early, ends, and has a twin that must not fire: asked of promtool."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from nhm_assets.domain.outcomes import Outcome
from nhm_assets.monitoring.exporter import METRICS
from nhm_assets.monitoring.metric import Kind
from tests.monitoring.alert_cases import CASES, SENSOR, Case, Series
from tests.support.manifests import Manifest, find, with_component
from tests.support.processes import ROOT
from tests.support.prometheus import promtool, required, rule_groups, rules
from tests.support.shell_blocks import commands


def promtool_test(case: Case, series: Series, expected: Mapping[int, int]) -> dict[str, Any]:
    """One test of promtool: how many alerts of the case fire at each time."""
    return {
        "interval": f"1{case.unit}",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": f"{time}{case.unit}",
                "exp_samples": [{"labels": "{}", "value": firing}],
            }
            for time, firing in expected.items()
        ],
    }


def promtool_tests(case: Case) -> list[dict[str, Any]]:
    fault = promtool_test(case, case.series, {case.quiet: 0, case.fires: 1, case.resolved: 0})
    times = range(0, case.fires + 40, max(1, case.fires // 40))
    return [fault, *(promtool_test(case, twin, dict.fromkeys(times, 0)) for twin in case.twins.values())]


def ask_promtool(folder: Path, cases: list[Case]) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule_groups()))
    for unit, of_unit in groupby(sorted(cases, key=lambda case: case.unit), key=lambda case: case.unit):
        tests = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": f"1{unit}",
            "tests": [test for case in of_unit for test in promtool_tests(case)],
        }
        (folder / f"{unit}.yaml").write_text(yaml.safe_dump(tests))
        promtool("test", "rules", folder / f"{unit}.yaml")


@pytest.mark.slow
@pytest.mark.servers
def test_every_alert_fires_in_time_ends_and_has_a_twin_that_does_not_fire(tmp_path: Path):
    ask_promtool(tmp_path, list(CASES))
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}
    assert all(case.twins for case in CASES)


def test_a_case_that_is_not_so_is_noticed(tmp_path: Path):
    wrong = Case("NhmTicksFailing", {f"nhm_failed_ticks{SENSOR}": "3x20"}, 2, 4, 30, {})
    with pytest.raises(AssertionError, match="NhmTicksFailing"):
        ask_promtool(tmp_path, [wrong])


def test_promtool_accepts_the_rules(tmp_path: Path):
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_groups()))
    assert f"{len(rules())} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_the_commands_of_the_operations_make_a_rule_file(tmp_path: Path):
    required("promtool")
    text = (ROOT / "docs/operations.md").read_text()
    found = [command for command in commands(text) if "/etc/prometheus/" in command]
    assert len(found) == 2
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in found:
        here = command.replace("/etc/prometheus", str(tmp_path))
        done = subprocess.run(
            ["bash", "-c", here],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


OF_KUBERNETES = dict.fromkeys(("kube_cronjob_created", "kube_cronjob_status_last_successful_time"), ("cronjob",))
"""Stable metrics of kube-state-metrics, and their labels."""


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:nhm|neural_hive|mlflow|kube)_[a-z0-9_]+", expression))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_uses_metrics_that_exist_and_says_what_a_person_needs(rule: dict[str, Any]):
    known = {metric.name: metric.labels for metric in METRICS} | OF_KUBERNETES
    assert names_in(rule["expr"]) <= known.keys()
    assert names_in(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    links = {"run_url", "report_url"} if rule["alert"].startswith("Specialist") else set()
    assert annotations.keys() == {"summary", "description", "runbook_url"} | links
    assert all(names_in(annotations[link]) <= known.keys() for link in links)
    assert "$value" in annotations["description"]
    labels = {label for name in names_in(rule["expr"]) for label in known[name]}
    if "specialist" in labels:
        assert rule["alert"].startswith("Specialist")
        assert "{{ $labels.specialist }}" in annotations["summary"]
        assert "{{ $labels.specialist }}" in annotations["description"]


def test_no_alert_hangs_on_a_counter():
    """Counters begin again with the exporter; what they count is in a gauge too."""
    counters = {metric.name for metric in METRICS if metric.kind is not Kind.GAUGE}
    assert not {name for rule in rules() for name in names_in(rule["expr"])} & counters


def test_every_alert_links_to_its_section_of_the_runbook_and_every_section_has_its_alert():
    sections = re.findall(r"^### (\S+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sections == [*(rule["alert"] for rule in rules()), *Outcome]
    for rule in rules():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("title", [rule["alert"] for rule in rules()] + list(Outcome))
def test_a_section_says_what_it_means_what_to_do_first_how_to_decide_what_to_do_and_when_to_wait(title: str):
    text = (ROOT / "docs/runbook.md").read_text()
    section = text.partition(f"\n### {title}\n")[2].partition("\n#")[0]
    assert re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE) == [
        "It means:",
        "First command:",
        "Decide:",
        "Do:",
        "Wait if",
    ]


def test_the_component_gives_the_links_one_address(tmp_path: Path):
    manifests = with_component(tmp_path, "monitoring")
    monitor = find(manifests, "ServiceMonitor", "nhm-exporter")["spec"]
    service = find(manifests, "Service", "nhm-exporter")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [one["port"] for one in monitor["endpoints"]] == [one["name"] for one in service["spec"]["ports"]]
    links = {rule["annotations"]["runbook_url"] for rule in all_rules(find(manifests, "PrometheusRule", "nhm-alerts"))}
    assert {link.partition("#")[0] for link in links} == {"https://example.org/nhm-assets/docs/runbook.md"}
    assert len(links) == len(rules())
    notified = find(manifests, "ConfigMap", "nhm-settings")["data"]["RUNBOOK_URL"]
    assert notified == "https://example.org/nhm-assets/docs/runbook.md"


def all_rules(manifest: Manifest) -> list[dict[str, Any]]:
    return [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]
