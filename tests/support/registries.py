"""Fixtures of tests at registry level: a registry without model files, and an audit log."""

import shutil
from pathlib import Path

import pytest

from tests.support.registry import Registry


@pytest.fixture
def registry(tmp_path: Path, migrated_mlflow: Path) -> Registry:
    """An empty registry for one test."""
    shutil.copytree(migrated_mlflow, tmp_path / "mlflow")
    return Registry(tmp_path / "mlflow")


@pytest.fixture
def log(database):
    """The audit log of that registry."""
    return database["model_audit_log"]
