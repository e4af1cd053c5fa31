"""A platform that all tests of a module share, for tests that need several runs."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nhm_assets.settings import Settings
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.sqlite_instances import pooled_instance


@contextmanager
def new_platform(folder: Path, mongod_uri: str, migrated_mlflow: Path, **changes: Any) -> Iterator[Platform]:
    """Real MongoDB, MLflow on SQLite, storage and Dagster instance, all empty, and deleted at the end."""
    shutil.copytree(migrated_mlflow, folder / "nhm" / "mlflow")
    settings = Settings(
        nhm_home=folder / "nhm",
        nhm_now=NOW,
        mongodb_uri=mongod_uri,
        mongodb_database=f"test_{uuid.uuid4().hex[:12]}",
        allow_synthetic_fallback="false",
        min_real_samples=300,
        min_test_rows=40,
    ).model_copy(update=changes)
    (folder / "dagster").mkdir()
    with (
        MongoClient(mongod_uri, tz_aware=True) as client,
        pooled_instance(folder / "dagster") as instance,
    ):
        yield Platform(settings, client[settings.mongodb_database], instance)
        client.drop_database(settings.mongodb_database)


@pytest.fixture(scope="module")
def module_platform(
    tmp_path_factory: pytest.TempPathFactory, mongod_uri: str, migrated_mlflow: Path
) -> Iterator[Platform]:
    """The platform of a test module."""
    with new_platform(tmp_path_factory.mktemp("platform"), mongod_uri, migrated_mlflow) as platform:
        yield platform
