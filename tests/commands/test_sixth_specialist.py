"""A sixth specialist with names and thresholds of its own: from its documents to Production, and out again."""

from pathlib import Path

import pytest
from dagster import DagsterInstance

from nhm_assets.resource_factories import mlflow_of
from nhm_assets.settings import Settings
from tests.commands.conftest import SETTINGS
from tests.support.documents import WEEK, reviewed_opinions
from tests.support.nhm import nhm, read_report, write_documents

FIVE = "".join(f"- name: {name}\n" for name in ("technical", "business", "behavior", "evolution", "architecture"))
SIXTH = """
- name: data-quality
  model: dq-models
  experiment: Data quality
  deployment: opinions-data-quality
  namespace: hive-two
  thresholds: {precision: 0.61, f1: 0.62}
"""


@pytest.mark.servers
@pytest.mark.slow
def test_a_sixth_specialist_is_promoted_by_its_own_thresholds_and_keeps_its_history_when_it_is_taken_out(
    home: Path, mongod_uri: str, database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    specialists, report = tmp_path / "specialists.yaml", tmp_path / "report.json"
    specialists.write_text(FIVE + SIXTH)
    opinions, reviews = reviewed_opinions(400, specialist="data-quality")
    documents = write_documents(tmp_path / "documents", opinions=opinions, feedback=reviews)
    where = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    settings = {**SETTINGS, **where, "specialists_file": specialists}
    assert nhm("seed", "--from", documents, **settings).returncode == 0
    done = nhm("retrain", "--week", WEEK, "--specialist", "data-quality", "--report", report, **settings)
    assert done.returncode == 0, done.stderr
    entry = read_report(report)["data-quality"]
    assert (entry["outcome"], entry["model"]["name"]) == ("promoted", "dq-models")
    assert database["model_audit_log"].find_one({"kind": "promoted", "state": "done"})["thresholds"] == {
        "precision": 0.61,
        "recall": 0.7,
        "f1": 0.62,
    }
    with mlflow_of(Settings(nhm_home=home)).client() as client:
        run = client.get_run(entry["mlflow_run_id"])
        assert client.get_experiment(run.info.experiment_id).name == "Data quality"
    assert "data-quality" in nhm("status", **settings).stdout

    specialists.write_text(FIVE)
    refused = nhm("retrain", "--week", WEEK, "--specialist", "data-quality", **settings)
    assert (refused.returncode, "unknown specialist 'data-quality'" in refused.stderr) == (2, True)
    # Its last run is still shown, but it is no specialist any more.
    shown = nhm("status", **settings).stdout.splitlines()
    assert [line.split()[2] for line in shown if "data-quality" in line] == ["data-quality"]
    assert "promoted" in nhm("audit", "data-quality", **settings).stdout
    with mlflow_of(Settings(nhm_home=home)).client() as client:
        assert client.get_model_version("dq-models", "1").current_stage == "Production"
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with DagsterInstance.get() as instance:
        assert instance.get_run_by_id(entry["dagster_run_id"]).tags["nhm/outcome"] == "promoted"
