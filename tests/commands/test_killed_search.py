"""A search (MODEL_FAMILY=auto) that SIGKILL ends in the middle: the next retraining goes on with it."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pymongo import MongoClient

from nhm_assets.registry.vocabulary import PARAMETERS_TAG, SEARCH_TAG, SHA256_TAG
from tests.commands.conftest import SETTINGS
from tests.support.documents import WEEK, put, reviewed_opinions
from tests.support.nhm import start_nhm

pytestmark = [pytest.mark.servers, pytest.mark.exhaustive, pytest.mark.timeout(1800)]

TRIALS = 7
"""The six families with their defaults, and a trial that the search draws."""
RETRAIN = ("retrain", "--week", WEEK, "--specialist", "technical")

Settings = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a search left in MLflow.

    Attributes:
        parameters: of the version, as its tag has them.
        sha256: of its file.
        trials: name, F1 and parent of each trial, in order; the parent as whether it is the version's run.
    """

    parameters: str
    sha256: str
    trials: list[tuple[str, float, bool]]


@contextmanager
def platform(folder: Path, migrated_mlflow: Path, mongod_uri: str) -> Iterator[Settings]:
    """Settings of a platform with learnable feedback for technical, and a database of its own."""
    home, name = folder / "home", f"killed_search_{time.monotonic_ns()}"
    shutil.copytree(migrated_mlflow, home / "mlflow")
    with MongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        opinions, reviews = reviewed_opinions(400)
        put(client[name], opinions=opinions, feedback=reviews)
        settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": name}
        yield SETTINGS | settings | {"model_family": "auto", "tuning_trials": TRIALS}
        client.drop_database(name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow: Path, mongod_uri: str) -> Found:
    with platform(tmp_path_factory.mktemp("undisturbed"), migrated_mlflow, mongod_uri) as settings:
        run_to_its_end(settings)
        return found(settings)


def run_to_its_end(settings: Settings) -> None:
    process = start_nhm(*RETRAIN, **settings)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said


def client_of(settings: Settings) -> MlflowClient:
    address = f"sqlite:///{settings['nhm_home'] / 'mlflow' / 'mlflow.db'}"
    return MlflowClient(address, address)


def trial_runs(client: MlflowClient) -> list[Run]:
    """The trials that are not deleted, in order."""
    experiment = client.get_experiment_by_name("technical-specialist")
    if experiment is None:
        return []
    found = client.search_runs([experiment.experiment_id], f"tags.`{SEARCH_TAG}` LIKE '%'")
    return sorted(found, key=lambda run: str(run.info.run_name))


def finished(client: MlflowClient) -> set[str]:
    return {run.info.run_id for run in trial_runs(client) if run.info.status == "FINISHED"}


def found(settings: Settings) -> Found:
    client = client_of(settings)
    (version,) = client.search_model_versions("name = 'technical-evaluator'")
    trials = [
        (str(run.info.run_name), run.data.metrics["f1"], run.data.tags["mlflow.parentRunId"] == version.run_id)
        for run in trial_runs(client)
    ]
    return Found(version.tags[PARAMETERS_TAG], version.tags[SHA256_TAG], trials)


@pytest.mark.parametrize("done", [1, 4, TRIALS - 1])
def test_the_retraining_after_a_killed_search_makes_the_same_choice_and_tries_nothing_twice(
    undisturbed: Found, tmp_path: Path, migrated_mlflow: Path, mongod_uri: str, done: int
):
    """Killed as soon as so many trials are finished: while the next one learns."""
    assert undisturbed.trials == [(f"trial {number}", f1, True) for number, (_, f1, _) in enumerate(undisturbed.trials)]
    assert len(undisturbed.trials) == TRIALS
    with platform(tmp_path, migrated_mlflow, mongod_uri) as settings:
        client = client_of(settings)
        process = start_nhm(*RETRAIN, **settings)
        while process.poll() is None and len(finished(client)) < done:
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=60)
        before = finished(client)
        assert done <= len(before) <= TRIALS
        assert client.search_model_versions("name = 'technical-evaluator'") == [], "killed before its end"
        run_to_its_end(settings)
        assert found(settings) == undisturbed
        assert before <= finished(client), "what was tried before the kill is taken over, not fitted again"
        assert json.loads(undisturbed.parameters)
