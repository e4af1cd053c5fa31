"""The alias `candidate`: it names the version in Staging that learned from the newest window."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from nhm_assets.domain.partitions import WEEK as A_WEEK
from nhm_assets.training.registration import stage_candidate
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import EARLIER, LATER
from tests.support.registry import MODEL, Registry, week_of
from tests.support.reports import trained_model


@pytest.fixture
def registry(tmp_path: Path, migrated_mlflow: Path) -> Registry:
    shutil.copytree(migrated_mlflow, tmp_path / "mlflow")
    return Registry(tmp_path / "mlflow")


def staged(registry: Registry, window_end: datetime, version: str | None = None) -> str:
    """Register a version as the training does, or stage an existing one again; returns its number."""
    number = version or registry.unstaged(window_end)
    trained = trained_model(model=MODEL, version=number, window_end=window_end, week=week_of(window_end))
    stage_candidate(registry.client(), trained, now=NOW)
    return number


def candidate(registry: Registry) -> str | None:
    return registry.state()["aliases"].get("candidate")


def test_the_version_of_an_older_week_never_takes_the_alias(registry):
    """A backfill of old weeks, or an old week that somebody retrains."""
    newest = staged(registry, WEEK_END)
    older = [staged(registry, EARLIER), staged(registry, EARLIER - A_WEEK)]
    assert candidate(registry) == newest
    assert set(registry.state()["stages"].values()) == {"Staging"}
    staged(registry, EARLIER, older[0])
    assert candidate(registry) == newest


@pytest.mark.parametrize("window_end", [WEEK_END, LATER], ids=["the same window", "a newer window"])
def test_a_later_version_takes_the_alias(registry, window_end):
    staged(registry, WEEK_END)
    later = staged(registry, window_end)
    assert candidate(registry) == later


def test_an_alias_that_named_an_older_week_is_corrected(registry):
    newest = staged(registry, WEEK_END)
    older = staged(registry, EARLIER)
    registry.client().set_registered_model_alias(MODEL, "candidate", older)
    staged(registry, EARLIER, older)
    assert candidate(registry) == newest


def test_a_version_that_left_staging_does_not_keep_the_alias_from_others(registry):
    promoted = staged(registry, LATER)
    registry.client().transition_model_version_stage(MODEL, promoted, "Production")
    registry.client().delete_registered_model_alias(MODEL, "candidate")
    assert staged(registry, WEEK_END) == candidate(registry)
