"""The MLflow client: its settings, its SQLite file and its experiments."""

import os
from pathlib import Path

import importlib_metadata
import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils import requirements_utils
from sklearn.dummy import DummyClassifier

from nhm_assets.settings import Settings
from resources.mlflow import Mlflow
from tests.support.mlflows import FITTING, at, embedded, home, restored_environment
from tests.support.processes import talkers
from tests.support.web import website

__all__ = ["embedded", "home", "restored_environment"]


def test_an_error_of_the_registry_itself_passes_unchanged(embedded: Mlflow):
    with pytest.raises(MlflowException, match="not found"), embedded.client() as client:
        client.get_registered_model("nobody-evaluator")


def test_using_mlflow_changes_no_setting_of_the_process(embedded: Mlflow):
    with embedded.client():
        assert Settings.load() == Settings()
        assert Settings.load().mlflow_tracking_uri is None


@pytest.mark.parametrize(("given", "then"), [(None, "true"), ("false", "false")])
def test_the_telemetry_of_mlflow_is_off_unless_the_user_turns_it_on(embedded: Mlflow, given: str | None, then: str):
    os.environ.pop("MLFLOW_DISABLE_TELEMETRY", None)
    if given:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = given
    with embedded.client():
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == then


def test_without_an_address_everything_is_in_the_home_folder(embedded: Mlflow, home: Path):
    assert embedded.address == f"SQLite under {home}"
    experiment = embedded.experiment_id("technical-specialist")
    with embedded.client() as client:
        assert client.tracking_uri == f"sqlite:///{home / 'mlflow.db'}"
        assert client.get_experiment(experiment).artifact_location == str(home / "artifacts" / "technical-specialist")


def test_models_are_logged_and_loaded_without_a_list_of_all_installed_packages(
    embedded: Mlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It takes a second. What a model requires is named and compared all the same."""
    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(importlib_metadata, "packages_distributions", lambda: pytest.fail("listed"))
    said: list[str] = []
    monkeypatch.setattr(requirements_utils._logger, "warning", said.append)
    model = tmp_path / "model"
    with embedded.client():
        mlflow.sklearn.save_model(
            DummyClassifier().fit([[0]], [0]), model, pip_requirements=["scikit-learn==0.1", "no-such-package==1"]
        )
        mlflow.pyfunc.load_model(str(model))
    assert "no-such-package (current: uninstalled, required: no-such-package==1)" in said[0]
    assert "scikit-learn (current: 1." in said[0]
    assert said[1] == said[0]


FRESH = """
import sys
from pathlib import Path
import mlflow
from resources.mlflow import Mlflow
print("ready", flush=True)
sys.stdin.readline()
server = Mlflow(uri=None, home=Path(sys.argv[1]), timeout_s=10)
print(server.experiment_id("technical-specialist"), flush=True)
sys.stdin.readline()
"""


@pytest.mark.servers
def test_processes_that_open_a_new_home_at_the_same_time_all_succeed(tmp_path: Path):
    with talkers(2, FRESH, tmp_path / "new" / "mlflow") as users:
        assert [user.hear() for user in users] == ["ready"] * 2
        for user in users:
            user.go_on()
        identities = {user.hear() for user in users}
    assert len(identities) == 1
    assert identities.pop().isdigit()


def test_an_experiment_is_created_once(embedded: Mlflow, home: Path):
    first = embedded.experiment_id("technical-specialist")
    assert embedded.experiment_id("technical-specialist") == first
    assert Mlflow(uri=None, home=home, timeout_s=10).experiment_id("technical-specialist") == first
    assert embedded.experiment_id("business-specialist") != first


UNKNOWN = (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}')
FOUND = (200, '{"experiment": {"experiment_id": "7", "name": "technical-specialist", "lifecycle_stage": "active"}}')
BY_NAME = "/api/2.0/mlflow/experiments/get-by-name"
CREATE = "/api/2.0/mlflow/experiments/create"


def test_an_experiment_that_another_process_creates_meanwhile_is_used():
    there = (400, '{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "exists"}')
    with website({**FITTING, BY_NAME: [UNKNOWN, FOUND], CREATE: there}) as site:
        assert at(site.address).experiment_id("technical-specialist") == "7"
        assert [path for path, _ in site.asked][-3:] == [BY_NAME, CREATE, BY_NAME]


def test_an_experiment_that_cannot_be_created_is_an_error():
    refused = (400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name"}')
    with (
        website({**FITTING, BY_NAME: UNKNOWN, CREATE: refused}) as site,
        pytest.raises(MlflowException, match="bad name"),
    ):
        at(site.address).experiment_id("technical-specialist")
