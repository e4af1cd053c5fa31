"""GitHub runs the same checks as `.ci/run`, with a token that may only read."""

import re
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

KIND = yaml.safe_load((ROOT / ".github/workflows/kind.yaml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())


@pytest.mark.parametrize("workflow", [WORKFLOW, KIND], ids=["ci", "kind"])
def test_the_workflow_may_only_read(workflow: dict[str, Any]):
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_the_workflow_runs_what_every_change_must_pass():
    (job,) = WORKFLOW["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_gitlab_runs_the_same():
    (smoke,) = KIND["jobs"].values()
    assert smoke["steps"][-1] == {"run": "make kind-smoke"}
    assert (GITLAB["check"]["script"], GITLAB["kind"]["script"]) == ([".ci/run"], ["make kind-smoke"])


@pytest.mark.parametrize("workflow", [WORKFLOW, KIND], ids=["ci", "kind"])
def test_every_action_is_pinned_to_a_version(workflow: dict[str, Any]):
    (job,) = workflow["jobs"].values()
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)
