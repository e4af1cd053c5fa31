"""The `nhm` command: what it prints, writes and ends with."""

import gzip
import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from mlflow import MlflowClient

from nhm_assets.settings import Settings
from tests.support.documents import WEEK, reviewed_opinions
from tests.support.nhm import nhm, read_report, start_nhm, write_documents

WEEK_BEFORE = "2026-02-22"
SETTINGS = {"min_real_samples": 300, "min_test_rows": 40, "allow_synthetic_fallback": "false"}
REPORT_FIELDS = {
    "specialist",
    "week",
    "window",
    "dataset",
    "metrics",
    "champion",
    "outcome",
    "held_by",
    "error",
    "model",
    "dagster_run_id",
    "mlflow_run_id",
    "seconds",
}


def mongods_of(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(home) in " ".join(process.info["cmdline"] or ()) and "mongod" in process.name()
    ]


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def home(tmp_path: Path, migrated_mlflow: Path) -> Path:
    """NHM_HOME with a migrated MLflow database, which saves each command a second."""
    shutil.copytree(migrated_mlflow, tmp_path / "home" / "mlflow")
    return tmp_path / "home"


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    opinions, reviews = reviewed_opinions(400)
    return write_documents(tmp_path / "documents", opinions=opinions, feedback=reviews)


@pytest.fixture
def seeded(home: Path, mongod_uri: str, database, documents: Path) -> dict[str, object]:
    """Settings of a platform whose database holds learnable feedback for technical."""
    settings = {
        **SETTINGS,
        "nhm_home": home,
        "mongodb_uri": mongod_uri,
        "mongodb_database": database.name,
    }
    done = nhm("seed", "--from", documents, **settings)
    assert done.returncode == 0, done.stderr
    return settings


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (["retrain", "--specialist", "oracle"], {}, "oracle"),
        (["retrain", "--week", "2026-03-02"], {}, "2026-03-02"),
        (["retrain", "--week", "last"], {}, "last"),
        (["retrain", "--week", "2025-12-28"], {}, "2025-12-28"),
        (["retrain", "--report", "/no/such/folder/report.json"], {}, "/no/such/folder"),
        (["retrain"], {"f1_threshold": "high"}, "F1_THRESHOLD"),
        (["retrain"], {"precision_threshold": 1.5}, "PRECISION_THRESHOLD"),
        (["seed", "--rebase"], {}, "--from"),
        (["seed"], {"environment": "production"}, "ENVIRONMENT"),
        (["no-such-command"], {}, "no-such-command"),
        (["dev", "--port", "99999"], {}, "--port"),
    ],
)
def test_wrong_use_ends_with_2_and_names_what_is_wrong(home, arguments, settings, named):
    done = nhm(*arguments, nhm_home=home, **settings)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.servers
def test_retrain_promotes_prints_a_table_and_writes_a_report(seeded, home, tmp_path):
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **seeded)
    assert done.returncode == 0, done.stderr
    entry = read_report(report)["technical"]
    assert set(entry) == REPORT_FIELDS
    assert (entry["outcome"], entry["held_by"], entry["error"]) == ("promoted", [], None)
    assert entry["model"] == {"name": "technical-evaluator", "version": "1", "stage": "Production"}
    assert entry["dataset"]["rows"] == 400
    assert list(entry["dataset"]["splits"]) == ["train", "validation", "test"]
    for shown in ("technical", "400", "real", f"{entry['metrics']['f1']:.3f}", "Production"):
        assert shown in done.stdout
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        run = instance.get_run_by_id(entry["dagster_run_id"])
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.tags["dagster/partition"] == f"technical|{WEEK}"
    shown = nhm("status", **seeded)
    assert shown.returncode == 0
    assert entry["dataset"]["data_version"][:12] in shown.stdout
    assert "Indexes are missing" not in shown.stdout

    older = nhm("retrain", "--week", WEEK_BEFORE, "--specialist", "technical", **seeded | {"min_real_samples": 200})
    assert older.returncode == 0
    assert "technical is superseded: " in older.stdout, "why, is said below the table"


@pytest.mark.servers
def test_a_broken_run_ends_with_1_and_says_what_broke_it(seeded, tmp_path):
    """Production forbids synthetic rows, and business has no feedback at all."""
    report = tmp_path / "report.json"
    done = nhm(
        *("retrain", "--week", WEEK, "--specialist", "business", "--report", report),
        **{**seeded, "environment": "production", "allow_synthetic_fallback": "auto"},
    )
    assert done.returncode == 1
    entry = read_report(report)["business"]
    assert entry["outcome"] == "broken"
    assert "enough_samples" in entry["error"]
    assert entry["dataset"]["rows"] == 0
    assert "enough_samples" in done.stderr


@pytest.mark.servers
def test_synthetic_rows_are_told_on_the_terminal(seeded, tmp_path):
    done = nhm("retrain", "--week", WEEK, "--specialist", "business", **{**seeded, "allow_synthetic_fallback": "auto"})
    assert done.returncode == 0
    assert "synthetic" in done.stdout
    assert "warning: business learned from synthetic rows" in done.stderr


@pytest.mark.servers
def test_all_labels_alike_break_the_run_before_training(home, mongod_uri, database, tmp_path):
    opinions, reviews = reviewed_opinions(320, recommendations=["approve"])
    folder = write_documents(tmp_path / "alike", opinions=opinions, feedback=reviews)
    settings = {**SETTINGS, "nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    nhm("seed", "--from", folder, **settings)
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
    assert done.returncode == 1
    entry = read_report(report)["technical"]
    assert "class_coverage" in entry["error"]
    assert entry["model"]["version"] is None


def test_mongodb_that_is_down_is_named_with_its_password_masked(home, tmp_path):
    report = tmp_path / "report.json"
    started = time.monotonic()
    uri = "mongodb://nhm:s3cret@127.0.0.1:9/?authSource=admin"
    done = nhm("retrain", "--week", WEEK, "--report", report, nhm_home=home, mongodb_uri=uri, mongodb_timeout_s=1)
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    assert "mongodb://nhm:***@127.0.0.1:9" in done.stderr
    assert "MONGODB_URI" in done.stderr
    assert {entry["outcome"] for entry in read_report(report).values()} == {"broken"}
    assert "s3cret" not in done.stdout + done.stderr + report.read_text()


def test_mlflow_that_is_down_is_named_with_its_password_masked(home, mongod_uri, database):
    done = nhm(
        *("retrain", "--week", WEEK),
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


def test_status_says_what_does_not_answer_and_ends_with_1(home):
    done = nhm("status", nhm_home=home, mongodb_uri="mongodb://127.0.0.1:9", mongodb_timeout_s=1)
    assert done.returncode == 1
    assert "FAULT" in done.stdout
    assert "MongoDB at mongodb://127.0.0.1:9" in done.stdout


def test_status_says_which_indexes_are_missing_and_how_to_make_them(home, mongod_uri, database):
    done = nhm("status", nhm_home=home, mongodb_uri=mongod_uri, mongodb_database=database.name)
    assert "createIndex({specialist_type: 1, submitted_at: 1})" in done.stdout


def test_settings_lists_every_variable_and_masks_secrets(home):
    done = nhm("settings", nhm_home=home, mongodb_uri="mongodb://nhm:s3cret@db.example/")
    assert done.returncode == 0
    assert "MIN_REAL_SAMPLES" in done.stdout
    assert "s3cret" not in done.stdout


def test_seeding_twice_doubles_nothing(seeded, database, documents):
    counted = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert counted["specialist_feedback"] == 400
    assert nhm("seed", "--from", documents, **seeded).returncode == 0
    assert {name: database[name].count_documents({}) for name in counted} == counted


def test_rebased_documents_end_at_the_moment_before(seeded, database, documents):
    now = "2026-06-01T12:00:00+00:00"
    assert nhm("seed", "--from", documents, "--rebase", nhm_now=now, **seeded).returncode == 0
    newest = database["specialist_feedback"].find_one(sort=[("submitted_at", -1)])["submitted_at"]
    assert newest.isoformat() == "2026-06-01T11:59:59+00:00"
    assert database["specialist_feedback"].count_documents({}) == 400


def test_a_line_that_is_no_document_is_named(seeded, documents):
    with gzip.open(documents / "feedback.jsonl.gz", "at", encoding="utf-8") as file:
        file.write("{not json\n")
    done = nhm("seed", "--from", documents, **seeded)
    assert done.returncode == 2
    assert "feedback.jsonl.gz, line 401" in done.stderr


@pytest.mark.servers
def test_a_mongod_of_its_own_is_started_and_none_is_left_behind(home, documents, tmp_path):
    settings = {**SETTINGS, "nhm_home": home}
    assert nhm("seed", "--from", documents, **settings).returncode == 0
    assert mongods_of(home) == []
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **settings)
    assert done.returncode == 0, done.stderr
    assert read_report(report)["technical"]["dataset"]["rows"] == 400
    assert mongods_of(home) == []


@pytest.mark.servers
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_retraining_that_is_ended_leaves_nothing_open(seeded, home, tmp_path, how):
    """Ended while it trains; the next run ends what a killed process could not end itself."""
    settings = {**seeded, "hyperparameter_tuning": "true", "tuning_trials": 500}
    process = start_nhm("retrain", "--week", WEEK, "--specialist", "technical", **settings)
    mlflow_runs = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"

    def trains() -> bool:
        assert process.poll() is None, process.stdout.read()
        return bool(open_runs(mlflow_runs))

    wait_until(trains, 90)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    report = tmp_path / "report.json"
    done = nhm("retrain", "--week", WEEK, "--specialist", "technical", "--report", report, **seeded)
    assert done.returncode == 0, done.stderr
    assert read_report(report)["technical"]["outcome"] == "promoted"
    assert open_runs(mlflow_runs) == []
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        assert sorted(run.status.value for run in instance.get_runs())[-1] == "SUCCESS"
        assert all(run.is_finished for run in instance.get_runs())


def open_runs(uri: str) -> list[str]:
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("technical-specialist")
    if experiment is None:
        return []
    return [run.info.run_id for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")]


def test_the_report_is_json_that_names_no_secret(seeded, tmp_path):
    report = tmp_path / "report.json"
    nhm("retrain", "--week", "2026-01-04", "--specialist", "technical", "--report", report, **seeded)
    entries = json.loads(report.read_text())
    assert [entry["week"] for entry in entries] == ["2026-01-04"]
    assert entries[0]["outcome"] == "broken"


def test_settings_show_no_secret_of_any_kind(home):
    secret = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert "notify_urls" in secret
    values = {
        name: f"{'json' if name == 'notify_urls' else 'https'}://user:s3cret-word@host.example/" for name in secret
    }
    done = nhm("settings", **{"nhm_home": home, **values})
    assert done.returncode == 0
    assert "NOTIFY_URLS" in done.stdout
    assert "s3cret-word" not in done.stdout.replace("\n", "")
