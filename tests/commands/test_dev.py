"""`nhm dev`: the whole platform on one machine, used through Dagster's web server."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.documents import WEEK, WEEK_END, reviewed_opinions
from tests.support.nhm import NHM, environment, nhm, write_documents
from tests.support.ports import free_port

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status tags { key value } } } }"
LOCATIONS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"

AUTOMATIC = (
    "It retrains by itself: all specialists on Sundays at 02:00 UTC, and one specialist as soon as 100 new feedback"
    " documents on it have arrived (try: nhm seed --add 100 --specialist technical)."
)


def ask(port: int, query: str, **variables) -> dict:
    answer = requests.post(
        f"http://127.0.0.1:{port}/graphql",
        json={"query": query, "variables": variables},
        headers={"X-Forwarded-Email": "ada@example.org"},
        timeout=30,
    )
    return answer.json()["data"]


def wait_for(condition, seconds: float = 300):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if result := condition():
                return result
        except (requests.RequestException, KeyError, TypeError):
            pass
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.3)


@pytest.mark.servers
@pytest.mark.slow
def test_a_run_launched_in_the_ui_promotes_and_no_process_is_left_after_the_end(tmp_path: Path):
    home, port, mlflow_port, exporter_port = tmp_path / "home", free_port(), free_port(), free_port()
    settings = {"nhm_home": home, "min_real_samples": 300, "min_test_rows": 40}
    opinions, reviews = reviewed_opinions(400)
    nhm("seed", "--from", write_documents(tmp_path / "documents", opinions=opinions, feedback=reviews), **settings)
    with (tmp_path / "log").open("w") as log:
        platform = subprocess.Popen(
            [NHM, "dev", "--port", str(port), "--mlflow-port", str(mlflow_port)],
            env=environment(**settings, exporter_port=exporter_port, exporter_refresh_s=1, log_format="json"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        locations = wait_for(lambda: ask(port, LOCATIONS)["repositoriesOrError"]["nodes"])
        assert locations == [{"name": "__repository__", "location": {"name": "nhm_assets"}}]
        wait_for(lambda: requests.get(f"http://127.0.0.1:{mlflow_port}/version", timeout=5).ok)
        run = launch(port)

        def finished_run() -> dict | None:
            result = ask(port, STATUS, run=run)["runOrError"]
            return result if result["status"] in {"SUCCESS", "FAILURE"} else None

        done = wait_for(finished_run)
        assert done["status"] == "SUCCESS", (tmp_path / "log").read_text()[-5000:]
        assert {"key": "nhm/outcome", "value": "promoted"} in done["tags"]
        assert {"key": "nhm/actor", "value": "ada@example.org"} in done["tags"]
        wait_for(lambda: 'nhm_last_outcome{outcome="promoted",specialist="technical"} 1.0' in metrics(exporter_port))
        # The exporter asks the MLflow server without the libraries of frames.
        wait_for(lambda: 'nhm_in_production{specialist="technical"} 1.0' in metrics(exporter_port))
    finally:
        platform.send_signal(signal.SIGINT)
        platform.wait(timeout=120)
    wait_for(lambda: not processes_of(home))
    shown = (tmp_path / "log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in shown if line[0].isdigit()] == [
        f"technical {WEEK}: started by ada@example.org",
        f"technical {WEEK} (promoted): {tag(done, 'nhm/reason')} http://127.0.0.1:{port}/runs/{run}",
    ]
    assert [line for line in shown if not line[0].isdigit()] == [
        f"Dagster: http://127.0.0.1:{port}   MLflow: http://127.0.0.1:{mlflow_port}   Press Ctrl-C to stop.",
        AUTOMATIC,
        "The weeks begin with 2026-02-01, see FIRST_WEEK and KEEP_WEEKS.",
        f"One line per run follows. What the programs print: {home / 'logs'}",
        "Stopping ...",
    ]
    assert sorted(path.name for path in (home / "logs").iterdir()) == [
        "code.log",
        "daemon.log",
        "exporter.log",
        "mlflow.log",
        "mongod.log",
        "webserver.log",
    ]
    assert_log_lines_are_json(home / "logs", run)
    assert f"to {WEEK_END:%Y-%m-%d}" in nhm("status", **settings).stdout
    decisions = json.loads(nhm("audit", "technical", "--json", **settings).stdout)
    assert [(entry["kind"], entry["actor"]) for entry in decisions] == [
        ("promoted", "ada@example.org"),
        ("registered", "ada@example.org"),
    ]


@pytest.mark.servers
def test_a_program_that_ends_by_itself_is_named_with_the_last_line_that_it_printed(tmp_path: Path):
    home, port = tmp_path / "home", free_port()
    settings = {
        "nhm_home": home,
        "mlflow_tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "mongodb_uri": "mongodb://x",
        "exporter_port": free_port(),
        "nhm_now": f"{WEEK_END:%Y-%m-%d}T02:00:00",
        "keep_weeks": 1,
    }
    with (tmp_path / "log").open("w") as log:
        platform = subprocess.Popen(
            [NHM, "dev", "--port", str(port)], env=environment(**settings), stdout=log, stderr=log
        )
    for process in wait_for(lambda: list(filter(is_webserver, processes_of(home)))):
        process.kill()
    assert platform.wait(timeout=120) != 0
    shown = (tmp_path / "log").read_text()
    assert f"The weeks begin with {WEEK}, see FIRST_WEEK and KEEP_WEEKS." in shown
    assert "webserver ended by itself (exit code 137), so everything stops: Killed" in shown


def assert_log_lines_are_json(logs: Path, run: str) -> None:
    """Of Dagster, MLflow and the exporter; those of the run lead to the version."""
    lines = []
    for program in ("code", "daemon", "webserver", "mlflow", "exporter"):
        for line in (logs / f"{program}.log").read_text().splitlines():
            if line.startswith("{"):
                lines.append(json.loads(line))
                assert lines[-1].keys() >= {"timestamp", "level", "event", "logger"}
            else:
                # What a code server says before it loads our code, what the command itself says, and what MLflow prints
                # while it starts. None has the form of another log.
                assert "dagster.code_server" in line or program in ("mlflow", "exporter"), (program, line)
                assert not re.match(r"\d{4}/|[A-Z]+: ", line), (program, line)
    of_run = [line for line in lines if line.get("run_id") == run]
    assert {line["specialist"] for line in of_run} == {"technical"}
    assert "1" in {line.get("version") for line in of_run}
    assert {line["logger"].partition(".")[0] for line in lines} >= {"dagster", "dagster-webserver", "uvicorn"}


def tag(run: dict, name: str) -> str:
    return {tag["key"]: tag["value"] for tag in run["tags"]}[name]


def metrics(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text


def launch(port: int) -> str:
    params = {
        "selector": {
            "repositoryLocationName": "nhm_assets",
            "repositoryName": "__repository__",
            "jobName": "specialist_retraining",
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": f"technical|{WEEK}"}]},
    }
    return ask(port, LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"]


def processes_of(home: Path) -> list[psutil.Process]:
    """All processes of the platform in this folder, with their command lines. One that has ended has no environment."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if process.pid != os.getpid() and (process.info["environ"] or {}).get("NHM_HOME") == str(home)
    ]


def is_webserver(process: psutil.Process) -> bool:
    return any(Path(part).name == "dagster-webserver" for part in process.info["cmdline"] or ())
