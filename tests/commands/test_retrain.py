"""`nhm retrain`: its table, its report, its exit code, and what it says about a broken run."""

import json
from pathlib import Path

import pandas as pd
import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from nhm_assets.resource_factories import mlflow_of
from nhm_assets.settings import Settings
from tests.commands.conftest import SETTINGS
from tests.support.documents import WEEK, revealed_opinions, reviewed_opinions
from tests.support.nhm import nhm, read_report, write_documents
from tests.support.processes import processes_naming

WEEK_BEFORE = "2026-02-22"
REPORT_FIELDS = {
    "specialist",
    "week",
    "window",
    "dataset",
    "metrics",
    "champion",
    "outcome",
    "held_by",
    "held_as",
    "error",
    "model",
    "dagster_run_id",
    "mlflow_run_id",
    "seconds",
}


def mongods_of(home: Path) -> list[psutil.Process]:
    return [process for process in processes_naming(str(home)) if "mongod" in process.name()]


@pytest.mark.servers
def test_retrain_promotes_prints_a_table_and_writes_a_report(seeded, home, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **seeded)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    entry = read_report(report)["technical"]
    assert set(entry) == REPORT_FIELDS
    assert (entry["outcome"], entry["held_by"], entry["error"]) == ("promoted", [], None)
    assert entry["model"] == {"name": "technical-evaluator", "version": "1", "stage": "Production"}
    assert entry["dataset"]["rows"] == 400
    assert list(entry["dataset"]["splits"]) == ["train", "validation", "test"]
    for cell in ("technical", "400", "real", f"{entry['metrics']['f1']:.3f}", "Production"):
        assert cell in done.stdout
    # The instance file reads this variable; the command line sets it.
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with DagsterInstance.get() as instance:
        run = instance.get_run_by_id(entry["dagster_run_id"])
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.tags["dagster/partition"] == f"technical|{WEEK}"
    status = nhm("status", **seeded)
    assert status.returncode == 0
    assert entry["dataset"]["data_version"][:12] in status.stdout
    assert "Indexes are missing" not in status.stdout

    _lineage_goes_from_the_fields_to_the_pods_and_back(seeded)
    changes = {"min_real_samples": 200, "log_format": "json"}
    older = nhm("retrain", "--week", WEEK_BEFORE, "--specialist", "technical", **seeded | changes)
    assert older.returncode == 0
    assert "technical (superseded): " in older.stdout, "the reason is below the table"
    assert_lines_lead_to_the_version(seeded, [json.loads(line) for line in older.stderr.splitlines()])


def assert_lines_lead_to_the_version(seeded: dict[str, object], lines: list[dict[str, str]]) -> None:
    """Every line names its run, and the field `run_id` finds the version in MLflow."""
    (run_id,) = {line["run_id"] for line in lines}
    for line in lines:
        assert (line["run_id"], line["specialist"], line["week"]) == (run_id, "technical", WEEK_BEFORE), line
    of_promotion = [line for line in lines if line.get("step") == "promoted_version"]
    assert {line["version"] for line in of_promotion} == {"2"}
    with mlflow_of(Settings(**seeded)).client() as client:
        (version,) = client.search_model_versions(f"tags.dagster_run_id = '{run_id}'")
    assert (version.name, str(version.version)) == ("technical-evaluator", "2")


@pytest.mark.servers
def test_too_little_feedback_is_no_error_and_says_how_many_rows_are_missing(seeded, tmp_path):
    """Production forbids synthetic rows, and there is no feedback on business."""
    report = tmp_path / "report.json"
    done = nhm(
        *("retrain", "--week", WEEK, "--specialist", "business", "--report", report),
        **{**seeded, "environment": "production", "allow_synthetic_fallback": "auto"},
    )
    assert done.returncode == 0
    entry = read_report(report)["business"]
    assert (entry["outcome"], entry["error"]) == ("insufficient_data", None)
    assert entry["dataset"]["rows"] == 0
    assert "business (insufficient_data): Too few samples: 0 rows, 300 fewer than the required 300" in done.stdout


@pytest.mark.servers
@pytest.mark.slow
def test_a_warning_says_that_a_model_learned_from_synthetic_rows(seeded, tmp_path):
    done = nhm("retrain", "--week", WEEK, "--specialist", "business", **{**seeded, "allow_synthetic_fallback": "auto"})
    assert done.returncode == 0
    assert "synthetic" in done.stdout
    assert "warning: business learned from synthetic rows" in done.stderr


@pytest.mark.servers
def test_nothing_is_trained_on_feedback_of_one_class_only(home, mongod_uri, database, tmp_path):
    opinions, reviews = reviewed_opinions(320, recommendations=["approve"])
    folder = write_documents(tmp_path / "alike", opinions=opinions, feedback=reviews)
    settings = {**SETTINGS, "nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    nhm("seed", "--from", folder, **settings)
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
    assert done.returncode == 0
    entry = read_report(report)["technical"]
    assert entry["outcome"] == "insufficient_data"
    assert "technical (insufficient_data): Too few classes" in done.stdout
    assert entry["model"]["version"] is None


@pytest.mark.servers
def test_a_mongodb_that_does_not_answer_is_named_without_its_password(home, tmp_path):
    report = tmp_path / "report.json"
    uri = "mongodb://nhm:s3cret@127.0.0.1:9/?authSource=admin"
    done = nhm("retrain", "--week", WEEK, "--report", report, nhm_home=home, mongodb_uri=uri, mongodb_timeout_s=1)
    assert done.returncode == 1
    assert "mongodb://nhm:***@127.0.0.1:9" in done.stderr
    assert "MONGODB_URI" in done.stderr
    assert {entry["outcome"] for entry in read_report(report).values()} == {"not run"}
    assert "not run: technical, business, behavior, evolution, architecture: MongoDB at" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr + report.read_text()


@pytest.mark.servers
def test_an_mlflow_that_does_not_answer_is_named_without_its_password(home, mongod_uri, database):
    done = nhm(
        *("retrain", "--week", WEEK, "--specialist", "technical"),
        nhm_home=home,
        mongodb_uri=mongod_uri,
        mongodb_database=database.name,
        mlflow_tracking_uri="http://nhm:s3cret@127.0.0.1:9",
        mlflow_timeout_s=1,
    )
    assert done.returncode == 1
    assert "http://nhm:***@127.0.0.1:9" in done.stderr
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.servers
@pytest.mark.slow
def test_a_local_mongod_is_started_and_stopped(home, documents, tmp_path):
    settings = {**SETTINGS, "nhm_home": home}
    assert nhm("seed", "--from", documents, **settings).returncode == 0
    assert mongods_of(home) == []
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
    assert done.returncode == 0, done.stderr
    assert read_report(report)["technical"]["dataset"]["rows"] == 400
    assert mongods_of(home) == []


@pytest.mark.slow
def test_a_broken_run_exits_with_1_and_says_what_broke_it_in_the_report_too(home, mongod_uri, database, tmp_path):
    opinions, reviews = revealed_opinions(320)
    folder = write_documents(tmp_path / "revealing", opinions=opinions, feedback=reviews)
    settings = {**SETTINGS, "nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    nhm("seed", "--from", folder, **settings)
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
    assert done.returncode == 1
    (entry,) = json.loads(report.read_text())
    assert (entry["week"], entry["outcome"], entry["dataset"]["rows"]) == (WEEK, "broken", 320)
    assert "no_leakage" in entry["error"]
    assert "broken: technical: feedback_dataset: no_leakage" in done.stderr


def _lineage_goes_from_the_fields_to_the_pods_and_back(settings: dict[str, object]) -> None:
    """Of the version that the retraining has promoted."""
    facts = json.loads(nhm("lineage", "technical", "--json", **settings).stdout)
    assert (facts["stage"], [one["kind"] for one in facts["decisions"]]) == ("Production", ["promoted", "registered"])
    importances = [one["importance"] for one in facts["features"]]
    assert None not in importances
    assert importances == sorted(importances, reverse=True)
    learned = pd.read_parquet(facts["dataset"]["file"])
    of_training = learned.loc[learned["split"] == "train", "feedback_id"].iloc[0]
    (holding,) = json.loads(nhm("lineage", "--feedback", of_training, "--json", **settings).stdout)["datasets"]
    assert (holding["learned"], holding["versions"][0]["version"]) == (True, facts["version"])


def test_a_closed_week_that_is_no_partition_is_not_called_unknown(home):
    """Nobody has typed it."""
    done = nhm("retrain", nhm_home=home, nhm_now="2026-03-04T12:00:00Z", first_week="2026-03-01")
    assert done.returncode == 2
    assert "the last closed week, 2026-02-22, is no partition: FIRST_WEEK is 2026-03-01" in done.stderr
    assert "or retrain the running week: `nhm retrain --week 2026-03-01`" in done.stderr
