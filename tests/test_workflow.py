"""GitHub runs the same checks as `.ci/run`, with a token that may only read."""

import re

import yaml

from tests.support.processes import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())


def test_the_workflow_may_only_read():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())


def test_the_workflow_runs_what_every_change_must_pass():
    (job,) = WORKFLOW["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_every_action_is_pinned_to_a_version():
    (job,) = WORKFLOW["jobs"].values()
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)
