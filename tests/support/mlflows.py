"""An MLflow to test with: on SQLite, or an address with credentials; and an environment that is restored."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from resources.mlflow import Mlflow
from tests.support.web import Answers

USER = "nhm"
PASSWORD = "s3cret-word"  # noqa: S105 - of servers that live for one test
TIMEOUT_S = 3.0
SEARCH = "/api/2.0/mlflow/registered-models/search"
FITTING: Answers = {"/version": (200, mlflow.__version__), SEARCH: (200, "{}")}
"""Answers of a server that fits the client."""


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    """MLflow reads credentials from the environment: those of one test must not reach the next."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def home(tmp_path: Path, migrated_mlflow: Path) -> Path:
    """A folder with an empty MLflow on SQLite."""
    return Path(shutil.copytree(migrated_mlflow, tmp_path / "mlflow"))


@pytest.fixture
def embedded(home: Path) -> Mlflow:
    """The MLflow in that folder."""
    return Mlflow(uri=None, home=home, timeout_s=10)


def at(address: str) -> Mlflow:
    """The MLflow at this address, called with user and password."""
    with_credentials = address.replace("//", f"//{USER}:{PASSWORD}@", 1)
    return Mlflow(uri=with_credentials, home=Path("unused"), timeout_s=TIMEOUT_S)
