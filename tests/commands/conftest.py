"""Platforms for the tests of commands."""

import shutil
from pathlib import Path

import pytest

from tests.support.documents import reviewed_opinions
from tests.support.nhm import nhm_here, write_documents

SETTINGS = {"min_real_samples": 300, "min_test_rows": 40, "allow_synthetic_fallback": "false"}


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
    done = nhm_here("seed", "--from", documents, **settings)
    assert done.returncode == 0, done.stderr
    return settings
