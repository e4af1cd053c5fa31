"""Fixtures: real servers, started once, and an empty place in them for every test."""

import os
import shutil
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, EventRecordsFilter
from pymongo import MongoClient
from pymongo.database import Database

from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod
from resources.mlflow import Mlflow
from resources.mongo import tolerant_decoding
from tests.support.dagster_internals import forget_entered_instance
from tests.support.documents import NOW
from tests.support.memory_folder import use_memory
from tests.support.platform import Platform
from tests.support.postgres import Postgres, postgres_server
from tests.support.progress import Progress, announce
from tests.support.schedule import ByFile, longest_first
from tests.support.sqlite_instances import pooled_instance

_DATABASES = {"mongod_uri", "migrated_mlflow", "postgres", "lone", "guarded"}
"""Fixtures of databases: `make test-fast` leaves their tests out."""
_KUBECONFIG = os.environ.get("KUBECONFIG")
DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"
"""What is not part of the repository: the whole field, and scripts that start a Kubernetes control plane.

Tests that need one of them are skipped without it. All other test data are in tests/data.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Show which servers are being started, and choose where temporary folders are."""
    use_memory()
    config.pluginmanager.register(Progress(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Collect without Python's garbage collector. Afterwards it skips the millions of objects that imports made."""
    with startup_without_gc():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest. Those that use a database are marked as such."""
    for item in items:
        if not _DATABASES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
    longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal the tests out to several processes."""
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Remove all settings of this machine from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for field in Settings.model_fields:
            patch.delenv(field.upper(), raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield


@pytest.fixture(autouse=True)
def _library_environment() -> Iterator[None]:
    """A test that opens a Dagster instance as commands do sets these variables. They end with the test."""
    before = {name: os.environ.get(name) for name in ("DAGSTER_HOME", "MAX_CONCURRENT_RUNS")}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module", autouse=True)
def _no_instance_of_another_module() -> None:
    """Dagster remembers the instance that was entered last, and the next module may run when that is gone."""
    forget_entered_instance()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def mongod_uri(shared_folder: Path) -> Iterator[str]:
    """Address of a real mongod: a replica set of one, shared by all test processes."""
    if not (shared_folder / "mongod").exists():
        announce("mongod")
    with embedded_mongod(shared_folder / "mongod") as uri:
        yield uri


@pytest.fixture
def database(mongod_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database for one test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with MongoClient(mongod_uri, tz_aware=True) as client:
        yield client.get_database(name, codec_options=tolerant_decoding())
        client.drop_database(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, for instances as in `deploy/postgres`."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty MLflow database. To create one takes a second; to copy this one takes no time."""
    home = tmp_path_factory.mktemp("mlflow-template")
    with Mlflow(uri=None, home=home, timeout_s=10).client():
        return home


@pytest.fixture(scope="session")
def migrated_dagster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty Dagster instance, to be copied like `migrated_mlflow`."""
    home = tmp_path_factory.mktemp("dagster-template")
    with pooled_instance(home) as instance:
        # These calls create the tables.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.get_event_records(EventRecordsFilter(DagsterEventType.RUN_START), limit=1)
    return home


@pytest.fixture
def platform(
    tmp_path: Path,
    mongod_uri: str,
    database: Database[dict[str, Any]],
    migrated_mlflow: Path,
    migrated_dagster: Path,
) -> Iterator[Platform]:
    """Real MongoDB, MLflow on SQLite, storage and Dagster instance, all empty."""
    home = tmp_path / "nhm"
    shutil.copytree(migrated_mlflow, home / "mlflow")
    settings = Settings(
        nhm_home=home,
        nhm_now=NOW,
        mongodb_uri=mongod_uri,
        mongodb_database=database.name,
        allow_synthetic_fallback="false",
        min_real_samples=300,
        min_test_rows=40,
        service_retries=0,
    )
    shutil.copytree(migrated_dagster, tmp_path / "dagster")
    with pooled_instance(tmp_path / "dagster") as instance:
        yield Platform(settings, database, instance)


@pytest.fixture(scope="session")
def given_cluster(pytestconfig: pytest.Config) -> Path | None:
    """Kubeconfig of a cluster in which the tests may create and delete objects, if one is given.

    That is NHM_TEST_KUBECONFIG, or KUBECONFIG if only these tests are run: `pytest -m kubernetes`.
    """
    only_these_tests = pytestconfig.getoption("markexpr") == "kubernetes"
    kubeconfig = os.environ.get("NHM_TEST_KUBECONFIG") or (_KUBECONFIG if only_these_tests else None)
    return Path(kubeconfig) if kubeconfig else None


@pytest.fixture(scope="session")
def field_documents() -> Path:
    """All documents as they come from the field; a test is skipped where they are absent."""
    return _shared("field")


@pytest.fixture(scope="session")
def control_plane_scripts() -> Path:
    """Scripts that start a Kubernetes control plane on this machine; a test is skipped where they are absent."""
    return _shared("kube")


@pytest.fixture(scope="session")
def field_slice() -> Path:
    """A small part of the field documents, with the numbers that they must result in."""
    return DATA / "field"


@pytest.fixture(scope="session")
def golden_vectors() -> Path:
    """Plans with the features that the original extractor computed for them."""
    return DATA / "golden" / "plan_features.jsonl"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.exists():
        pytest.skip(f"{folder} does not exist: it is not part of the repository")
    return folder
