"""GitHub runs the same checks as `.ci/run`, with a token that may only read. What `.ci/run` leaves behind."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT, eventually, processes_naming

KIND = yaml.safe_load((ROOT / ".github/workflows/kind.yaml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())
ENDLESS = """#!/bin/sh
tail -f "$TMPDIR" /dev/null &
touch "$TMPDIR/../$1"
wait
"""
LINT_FAILS = """#!/bin/sh
case "$1 $2 $3" in
"-j 2 environments") exec endless environments "$@" ;;
"lint types "*) while [ ! -e "$TMPDIR/../environments" ] || [ ! -e "$TMPDIR/../kube" ]; do sleep 0.02; done; exit 7 ;;
esac
"""


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


def test_what_runs_in_the_background_ends_with_a_check_that_fails(tmp_path: Path):
    """Otherwise `pip` would go on, and write into a folder that is being removed."""
    programs = {"endless": ENDLESS, "make": LINT_FAILS, "apt-get": "#!/bin/sh\n"}
    programs |= {"id": "#!/bin/sh\necho 0\n", "uname": "#!/bin/sh\necho another machine\n"}
    files = {tmp_path / "bin" / name: text for name, text in programs.items()}
    files[tmp_path / "shared" / "kube" / "build.sh"] = "#!/bin/sh\nexec endless kube\n"
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    (tmp_path / "project" / ".ci").mkdir(parents=True)
    script = shutil.copy(ROOT / ".ci" / "run", tmp_path / "project" / ".ci")
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": f"{tmp_path}/temporary"}
    done = subprocess.run([script], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (7, b"")
    assert list((tmp_path / "temporary").iterdir()) == []
    assert eventually(lambda: not processes_naming(str(tmp_path)))
