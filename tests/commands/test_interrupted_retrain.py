"""`nhm retrain` that is interrupted or killed while it trains."""

import re
import signal

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from mlflow import MlflowClient

from tests.support.documents import WEEK
from tests.support.nhm import nhm, read_report, start_nhm
from tests.support.processes import eventually


def open_runs(uri: str) -> list[str]:
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("technical-specialist")
    if experiment is None:
        return []
    return [run.info.run_id for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")]


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize(
    ("how", "processes"),
    [
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.exhaustive),
        (signal.SIGTERM, 2),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.exhaustive),
        # A process that a shell has started in the background ignores this signal.
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGKILL, 1, marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.exhaustive),
    ],
)
def test_an_interrupted_retraining_leaves_nothing_open(seeded, home, tmp_path, how, processes, monkeypatch):
    """It is interrupted during training. The next run ends what a killed process could not end itself."""
    settings = {**seeded, "hyperparameter_tuning": "true", "tuning_trials": 500, "retrain_processes": processes}
    process = start_nhm("retrain", "--week", WEEK, "--specialist", "technical", "--specialist", "business", **settings)
    mlflow_runs = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"

    def is_training() -> bool:
        assert process.poll() is None, process.stdout.read()
        return bool(open_runs(mlflow_runs))

    assert eventually(is_training)
    process.send_signal(how)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 1)
    assert ("Run this again" in said) == (how != signal.SIGKILL)
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **seeded)
    assert done.returncode == 0, done.stderr
    assert read_report(report)["technical"]["outcome"] == "promoted"
    assert open_runs(mlflow_runs) == []
    # The instance file reads this variable; the command line sets it.
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with DagsterInstance.get() as instance:
        assert sorted(run.status.value for run in instance.get_runs())[-1] == "SUCCESS"
        # A run that was created and has not begun holds nothing.
        begun = [run for run in instance.get_runs() if run.status is not DagsterRunStatus.NOT_STARTED]
        assert all(run.is_finished for run in begun)
        reasons = [run.tags.get("nhm/reason", "") for run in begun if run.status is DagsterRunStatus.FAILURE]
        assert reasons
        assert all(re.search(r"its process .* Run `nhm retrain --week", reason) for reason in reasons), reasons
