"""`nhm retrain` whose datasets and records are in the artifact store of an MLflow server."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from tests.support.documents import WEEK
from tests.support.nhm import nhm, read_report
from tests.support.servers import mlflow_server


@pytest.mark.servers
@pytest.mark.slow
def test_a_retraining_keeps_everything_on_the_server(seeded: dict[str, Any], tmp_path: Path):
    with mlflow_server(tmp_path / "server") as address:
        settings = {**seeded, "mlflow_tracking_uri": address, "nhm_storage": "mlflow-artifacts:/nhm"}
        report = tmp_path / "report.json"
        done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert read_report(report)["technical"]["outcome"] == "promoted"
        client = MlflowClient(address, address)
        (version,) = client.search_model_versions("name = 'technical-evaluator'")
        (learned,) = client.get_run(version.run_id).inputs.dataset_inputs
        stored = tmp_path / "server" / "artifacts" / "nhm"
        kept = sorted(path.relative_to(stored).parts[0] for path in stored.rglob("*.current"))
        assert {"feedback_dataset", "trained_model", "evaluation_report", "promoted_version"} <= set(kept)
        source = mlflow.data.get_source(learned.dataset)
        folder = f"{address}/api/2.0/mlflow-artifacts/artifacts/nhm/feedback_dataset/technical/{WEEK}/"
        assert source.url.startswith(folder)
