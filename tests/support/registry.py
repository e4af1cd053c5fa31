"""A registry with versions but without model files, for tests that only move stages and aliases."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from nhm_assets.domain.first_week import running_week
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import CLASSES_TAG, PARTITION_TAG, PRODUCTION, WINDOW_END_TAG
from resources.mlflow import Mlflow

MODEL = "technical-evaluator"
ALIASES = ("candidate", "production", "previous")


def week_of(window_end: datetime) -> str:
    """First day of the week whose window has this end."""
    return running_week(window_end - timedelta(microseconds=1))


@cache
def _client(home: Path) -> MlflowClient:
    """One client per folder and process: opening the file takes as long as a promotion."""
    with Mlflow(uri=None, home=home, timeout_s=10).client() as client:
        return client


@dataclass(frozen=True)
class Registry:
    """MLflow in the SQLite file of a folder; another process needs only the folder to open it."""

    home: Path

    def client(self) -> MlflowClient:
        return _client(self.home)

    def add(self, window_end: datetime | None, *, stage: str = "Staging") -> str:
        """Register a version and return its number."""
        client, version = self.client(), self.unstaged(window_end)
        client.transition_model_version_stage(MODEL, version, stage)
        client.set_registered_model_alias(MODEL, "production" if stage == PRODUCTION else "candidate", version)
        return version

    def unstaged(self, window_end: datetime | None) -> str:
        """Register a version in no stage, without an alias, and return its number."""
        client = self.client()
        if not client.search_registered_models(f"name='{MODEL}'"):
            client.create_registered_model(MODEL)
        tags = {CLASSES_TAG: "approve,reject,review_required"}
        if window_end:
            tags |= {WINDOW_END_TAG: window_end.isoformat(), PARTITION_TAG: f"technical|{week_of(window_end)}"}
        return str(client.create_model_version(MODEL, "file:///nowhere", tags=tags).version)

    def state(self) -> dict[str, Any]:
        """Stage of every version, and what every alias names."""
        client = self.client()
        aliases = client.get_registered_model(MODEL).aliases
        return {
            "stages": {str(version.version): version.current_stage for version in all_versions(client, MODEL)},
            "aliases": {name: str(aliases[name]) for name in ALIASES if name in aliases},
        }

    def copy_to(self, home: Path) -> "Registry":
        """The same registry in another folder."""
        shutil.copytree(self.home, home)
        return Registry(home)
