"""What somebody has deleted in MLflow's UI, or for good with `mlflow gc`."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from nhm_assets.registry.versions import all_versions
from tests.support.documents import WEEK, put, reviewed_opinions
from tests.support.nhm import nhm
from tests.support.platform import Platform, failed_checks, failed_step

pytestmark = pytest.mark.servers

MODEL, EXPERIMENT = "technical-evaluator", "technical-specialist"
WEEK_BEFORE = "2026-02-22"


@pytest.fixture
def two_weeks(platform: Platform) -> Platform:
    """Two weeks: version 1 of the older one was replaced by version 2 of the newer one."""
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    platform.retrain(week=WEEK_BEFORE)
    platform.retrain(week=WEEK)
    return platform


def run_of(platform: Platform, version: str) -> str:
    with platform.mlflow.client() as client:
        return str(client.get_model_version(MODEL, version).run_id)


def delete_runs(platform: Platform, *versions: str) -> None:
    with platform.mlflow.client() as client:
        for version in versions:
            client.delete_run(run_of(platform, version))


def collect_garbage(platform: Platform) -> None:
    """`mlflow gc`: it removes what was deleted before, with all files."""
    mlflow = Path(sysconfig.get_path("scripts")) / "mlflow"
    home = platform.settings.nhm_home / "mlflow"
    command = [str(mlflow), "gc", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env={"MLFLOW_TRACKING_URI": command[-1]})


def versions(platform: Platform) -> list[str]:
    with platform.mlflow.client() as client:
        return [str(version.version) for version in all_versions(client, MODEL)]


@pytest.mark.exhaustive
def test_an_older_week_is_retrained_after_its_run_was_deleted_in_the_ui(two_weeks: Platform):
    """Its version is compared with the champion of today; the deleted run gets no metrics, which nobody needs."""
    delete_runs(two_weeks, "1", "2")
    result = two_weeks.retrain(week=WEEK_BEFORE)
    assert result.success
    assert two_weeks.tags(result)["nhm/outcome"] == "superseded"
    assert result.asset_value("trained_model").version == "1"
    assert result.asset_value("evaluation_report").compared_with == "2"


@pytest.mark.slow
def test_a_version_whose_run_was_removed_for_good_is_trained_again(two_weeks: Platform):
    delete_runs(two_weeks, "1")
    collect_garbage(two_weeks)
    result = two_weeks.retrain(week=WEEK_BEFORE)
    assert result.success
    assert result.asset_value("trained_model").version == "3"
    assert two_weeks.tags(result)["nhm/outcome"] == "superseded"


@pytest.mark.parametrize(
    "trained_again",
    [pytest.param(False, marks=pytest.mark.exhaustive), True],
    ids=["the same week", "a newer candidate"],
)
def test_a_champion_whose_files_were_removed_for_good_never_breaks_a_run(two_weeks: Platform, trained_again: bool):  # noqa: FBT001
    """It cannot be compared, so it is treated as a foreign one. Production is never empty."""
    delete_runs(two_weeks, "2")
    collect_garbage(two_weeks)
    # MLflow 3 keeps the files of a model beside those of its run.
    for files in (two_weeks.settings.nhm_home / "mlflow" / "artifacts" / EXPERIMENT).glob("models/*"):
        shutil.rmtree(files)
    result = two_weeks.with_settings(force_retrain=trained_again).retrain()
    assert result.success
    assert two_weeks.tags(result)["nhm/outcome"] == "promoted"
    report = result.asset_value("evaluation_report")
    assert report.champion is None
    assert "has no files that can be read" in report.foreign_champion.reason
    with two_weeks.mlflow.client() as client:
        stages = {str(one.version): one.current_stage for one in all_versions(client, MODEL)}
    assert [number for number, stage in stages.items() if stage == "Production"] == ["3"]


@pytest.mark.slow
def test_a_deleted_model_is_trained_again_and_promoted(two_weeks: Platform):
    """MLflow numbers its versions from 1 again, and the audit log knows others by these numbers."""
    with two_weeks.mlflow.client() as client:
        client.delete_registered_model(MODEL)
    for week in (WEEK_BEFORE, WEEK):
        result = two_weeks.retrain(week=week)
        assert two_weeks.tags(result)["nhm/outcome"] == "promoted"
        assert failed_checks(result) == []
    assert versions(two_weeks) == ["2", "1"]


@pytest.mark.exhaustive
def test_status_shows_a_champion_whose_run_was_removed_for_good(two_weeks: Platform):
    delete_runs(two_weeks, "2")
    collect_garbage(two_weeks)
    settings = two_weeks.settings
    done = nhm(
        "status",
        nhm_home=settings.nhm_home,
        mongodb_uri=settings.mongodb_uri.get_secret_value(),
        mongodb_database=settings.mongodb_database,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "technical" in done.stdout


@pytest.mark.slow
def test_a_deleted_experiment_is_named_with_the_commands_that_help(two_weeks: Platform):
    with two_weeks.mlflow.client() as client:
        number = client.get_experiment_by_name(EXPERIMENT).experiment_id
        client.delete_experiment(number)
    before = versions(two_weeks)
    result = two_weeks.with_settings(force_retrain=True).retrain()
    assert not result.success
    assert failed_step(result)[0] == "trained_model"
    assert f"the MLflow experiment {EXPERIMENT} (id {number}) was deleted" in failed_step(result)[1]
    assert f"mlflow experiments restore --experiment-id {number}" in failed_step(result)[1]
    assert versions(two_weeks) == before
    with two_weeks.mlflow.client() as client:
        client.restore_experiment(number)
    assert two_weeks.with_settings(force_retrain=True).retrain().success
