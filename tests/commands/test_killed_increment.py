"""`nhm retrain --increment` that is killed with SIGKILL at any moment: the next one leaves what it would have left.

Each moment is tried on a copy of the same platform, so that what comes of it can be compared bit by bit.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pymongo import MongoClient
from pymongo.database import Database

from nhm_assets.domain.increment_records import Increment
from nhm_assets.registry.vocabulary import INCREMENT_OF_TAG, INCREMENT_TAG, SHA256_TAG
from tests.commands.conftest import SETTINGS
from tests.support.documents import NOW, put, reviewed_opinions, strict_reviews
from tests.support.nhm import nhm, read_report, start_nhm

pytestmark = [pytest.mark.servers, pytest.mark.exhaustive]

MOMENTS = 20
FIRST = 0.25
"""As a share of an undisturbed command: before this, it only imports libraries."""
INCREMENT = ("retrain", "--increment", "--specialist", "technical")


@dataclass(frozen=True)
class Left:
    """What increments left in the registry.

    Attributes:
        stages: number of the version -> its stage.
        production: the version with the alias.
        increments: number of the version -> which version it corrects, how much feedback it learned, its digest.
    """

    stages: dict[str, str]
    production: str
    increments: dict[str, tuple[str, int, str]]


@dataclass(frozen=True)
class Scene:
    """A platform before its first increment, which can be put back.

    Attributes:
        undisturbed: what an increment leaves that nobody kills.
        seconds: how long that took.
    """

    settings: dict[str, Any]
    database: Database[dict[str, Any]]
    copy: Path
    documents: dict[str, list[dict[str, Any]]]
    undisturbed: Left
    seconds: float

    def put_back(self) -> None:
        put_back(self.settings["nhm_home"], self.copy, self.database, self.documents)


def put_back(home: Path, copy: Path, database: Database[Any], documents: dict[str, list[dict[str, Any]]]) -> None:
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    for name in database.list_collection_names():
        database[name].delete_many({})
        if kept := documents.get(name):
            database[name].insert_many(kept)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow: Path, mongod_uri: str) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("killed")
    home, copy = folder / "home", folder / "copy"
    shutil.copytree(migrated_mlflow, home / "mlflow")
    settings = SETTINGS | {"nhm_home": home, "nhm_now": NOW.isoformat(), "mongodb_uri": mongod_uri}
    settings |= {"mongodb_database": "killed_increments"}
    with MongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        database = client["killed_increments"]
        opinions, reviews = reviewed_opinions(500, days=22)
        put(database, opinions=opinions, feedback=reviews)
        in_full = nhm("retrain", "--specialist", "technical", **settings)
        assert "promoted" in in_full.stdout, in_full.stdout + in_full.stderr
        opinions, reviews = strict_reviews(250, end=NOW - timedelta(days=1), days=11, seed=2)
        put(database, opinions=opinions, feedback=reviews)
        shutil.copytree(home, copy)
        documents = {name: list(database[name].find()) for name in database.list_collection_names()}
        started = time.monotonic()
        outcome = run_to_its_end(settings, folder / "report.json")
        seconds = time.monotonic() - started
        assert outcome == "promoted", (folder / "report.json").read_text()
        yield Scene(settings, database, copy, documents, left(settings, database), seconds)
        client.drop_database(database.name)


def run_to_its_end(settings: dict[str, Any], report: Path) -> str:
    done = nhm(*INCREMENT, "--report", report, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(read_report(report)["technical"]["outcome"])


def left(settings: dict[str, Any], database: Database[dict[str, Any]]) -> Left:
    """Nothing is half done, in the log and in MLflow."""
    assert database["model_audit_log"].count_documents({"state": "open"}) == 0
    address = f"sqlite:///{settings['nhm_home'] / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(address, address)
    experiment = client.get_experiment_by_name("technical-specialist")
    assert client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") == []
    versions = client.search_model_versions("name = 'technical-evaluator'")
    increments = {}
    for version in versions:
        if INCREMENT_TAG in version.tags:
            learned = Increment.model_validate_json(version.tags[INCREMENT_TAG]).feedback
            increments[str(version.version)] = version.tags[INCREMENT_OF_TAG], learned, version.tags[SHA256_TAG]
    production = client.get_model_version_by_alias("technical-evaluator", "production").version
    return Left({str(one.version): one.current_stage for one in versions}, str(production), increments)


@pytest.mark.parametrize("number", range(MOMENTS))
def test_after_a_killed_increment_the_next_one_leaves_what_an_undisturbed_one_leaves(
    scene: Scene, tmp_path: Path, number: int
):
    assert scene.undisturbed.stages == {"1": "Archived", "2": "Production"}
    scene.put_back()
    moment = scene.seconds * (FIRST + (1 - FIRST) * (number + 0.5) / MOMENTS)
    process = start_nhm(*INCREMENT, **scene.settings)
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < moment:
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=60)
    assert run_to_its_end(scene.settings, tmp_path / "report.json") in ("promoted", "unchanged")
    assert left(scene.settings, scene.database) == scene.undisturbed
    assert run_to_its_end(scene.settings, tmp_path / "report.json") == "unchanged"
    assert left(scene.settings, scene.database) == scene.undisturbed
