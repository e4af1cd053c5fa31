"""`nhm cluster check --manifests` says before an apply that no pod would start with the settings of an overlay."""

import pytest
import yaml

from nhm_assets.commands import cluster_needs as needs
from nhm_assets.commands.cluster_lines import State
from nhm_assets.commands.cluster_settings import line_of_settings
from tests.support.manifests import PRODUCTION, rendered

FILE = "/etc/nhm/specialists.yaml"


def test_the_settings_of_an_overlay_are_accepted(monkeypatch: pytest.MonkeyPatch):
    """Those of the person who asks do not matter."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "ten")
    assert line_of_settings(needs.settings(rendered(PRODUCTION)), None).state is State.OK


def test_a_value_that_cannot_be_used_is_named():
    line = line_of_settings({"MAX_CONCURRENT_RUNS": "ten"}, None)
    assert line.state is State.FAULT
    assert line.found.startswith("no pod would start: invalid setting: MAX_CONCURRENT_RUNS: ")


def test_settings_that_do_not_fit_the_number_of_specialists_are_named():
    """For five, the same are right."""
    settings = {"MAX_CONCURRENT_RUNS": "50", "SPECIALISTS_FILE": FILE}
    fifty = yaml.safe_dump([{"name": f"s-{number}"} for number in range(50)])
    assert "MAX_RUN_SECONDS (14400) ends the run before" in line_of_settings(settings, fifty).found
    assert line_of_settings(settings, None).state is State.OK


def test_a_fault_of_the_file_is_named_with_its_path_in_the_pods():
    line = line_of_settings({"SPECIALISTS_FILE": FILE}, "- name: Technical\n")
    assert line.state is State.FAULT
    assert f"SPECIALISTS_FILE {FILE}: entry 1 (Technical)" in line.found
