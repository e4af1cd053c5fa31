"""The reference: the version that was in Production weeks ago, by the audit log; or why it is not asked."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.fold_records import Reference
from nhm_assets.domain.segments import segments_of
from nhm_assets.evaluation.folds import PooledRows, asked_rows
from nhm_assets.evaluation.posteriors import f1_difference
from nhm_assets.evaluation.reference import compare_with_reference
from nhm_assets.registry.recovery import version_at
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, INCREMENT_OF_TAG, ROLLED_BACK_TAG, WINDOW_END_TAG
from tests.support.documents import WEEK_END
from tests.support.learnable import learnable
from tests.support.reports import RULES, trained_model
from tests.support.versions import MODEL, Versions, small_forest

pytestmark = pytest.mark.servers

THEN = WEEK_END - timedelta(weeks=8)
FRAME = learnable(600)


@pytest.fixture
def rows() -> PooledRows:
    """A candidate that is always right."""
    asked = asked_rows(FRAME, 2)
    labels = (asked["label"] == APPROVE).to_numpy()
    everything = np.ones(len(asked), dtype="bool")
    segment = segments_of(FRAME)[segments_of(FRAME) > 0].to_numpy()
    return PooledRows(asked, segment, asked["plan_id"].to_numpy(), labels, labels, None, everything)


@pytest.fixture(autouse=True)
def empty_log(versions: Versions):
    versions.log.delete_many({"kind": {"$ne": "registered"}})


def moved(versions: Versions, version: str, at: datetime, *, kind: str = "promoted") -> None:
    """An entry of the audit log that put a version into Production."""
    versions.log.insert_one({"kind": kind, "model": MODEL, "version": version, "at": at})


def asked(versions: Versions, rows: PooledRows, *, champion: str | None = None, weeks: int = 8) -> Reference | None:
    in_production = versions.client.get_model_version(MODEL, champion) if champion else None
    rules = replace(RULES, reference_weeks=weeks)
    trained = trained_model(version="99")
    storage = str(versions.folder / "storage")
    found = compare_with_reference(versions.client, versions.log, trained, in_production, rows, rules, storage)
    return found.reference


def test_the_newest_move_before_a_moment_says_what_was_in_production_then(versions: Versions):
    moved(versions, "1", THEN - timedelta(weeks=2))
    moved(versions, "2", THEN - timedelta(weeks=1), kind="rolled_back")
    moved(versions, "3", THEN + timedelta(hours=1))
    versions.log.insert_one({"kind": "held", "model": MODEL, "version": "4", "at": THEN})
    versions.log.insert_one({"kind": "promoted", "model": "business-evaluator", "version": "5", "at": THEN})
    assert version_at(versions.log, MODEL, THEN) == "2"
    assert version_at(versions.log, MODEL, THEN + timedelta(days=1)) == "3"
    assert version_at(versions.log, MODEL, THEN - timedelta(weeks=3)) is None


def test_the_reference_is_asked_about_the_same_rows(versions: Versions, rows: PooledRows):
    worse = small_forest(seed=9, noise=0.6)
    version = versions.add(worse, tags={WINDOW_END_TAG: (THEN - timedelta(days=1)).isoformat()})
    moved(versions, version, THEN)
    calls = worse.predict(rows.rows[list(FEATURE_NAMES)]) == "approve"
    expected = f1_difference(rows.labels, rows.candidate, calls)
    assert expected.difference > 0
    found = asked(versions, rows)
    assert found == Reference(weeks=8, version=version, rows=len(rows.labels), difference=expected.difference)


def tagged(versions: Versions, tag: str, value: str) -> str:
    version = versions.add(small_forest())
    versions.client.set_model_version_tag(MODEL, version, tag, value)
    return version


def without_files(versions: Versions) -> str:
    version = versions.add(small_forest())
    (versions.files(version) / "model.pkl").unlink()
    return version


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda versions: tagged(versions, ROLLED_BACK_TAG, "too slow"), "was rolled back (too slow)"),
        (lambda versions: tagged(versions, FILES_DELETED_TAG, "2026-01-01"), "has lost its files (KEEP_VERSIONS)"),
        (without_files, "cannot be asked any more"),
        (lambda versions: versions.add(small_forest(), verified=False), "did not register it"),
        (lambda _: "4711", "was deleted"),
        (lambda _: "99", "is the candidate now"),
    ],
    ids=["rolled back", "files deleted", "files gone", "foreign", "version deleted", "the candidate itself"],
)
def test_a_reference_that_cannot_be_asked_says_why(versions: Versions, rows: PooledRows, make: Any, reason: str):
    version = make(versions)
    moved(versions, version, THEN)
    found = asked(versions, rows)
    assert (found.version, found.difference) == (version, None)
    assert reason in found.reason


def test_an_increment_is_no_reference_but_the_version_that_it_corrects_is(versions: Versions, rows: PooledRows):
    full = versions.add(small_forest(), tags={WINDOW_END_TAG: (THEN - timedelta(days=1)).isoformat()})
    moved(versions, versions.add(small_forest(seed=9, noise=0.6), tags={INCREMENT_OF_TAG: full}), THEN)
    found = asked(versions, rows)
    assert (found.version, found.reason) == (full, "")
    assert asked(versions, rows, champion=full).reason == (
        f"version {full} (or an increment of it) was in Production then and is the champion now"
    )
    moved(versions, versions.add(small_forest(), tags={INCREMENT_OF_TAG: "4711"}), THEN + timedelta(seconds=-1))
    versions.log.delete_one({"at": THEN})
    assert asked(versions, rows).reason == "version 4711 (or an increment of it), in Production then, was deleted"


def test_a_champion_of_long_ago_is_no_reference_to_itself(versions: Versions, rows: PooledRows):
    version = versions.add(small_forest())
    moved(versions, version, THEN)
    found = asked(versions, rows, champion=version)
    assert found.reason == f"version {version} was in Production then and is the champion now"


def test_without_a_version_then_or_without_the_setting_there_is_no_reference(versions: Versions, rows: PooledRows):
    moved(versions, versions.add(small_forest()), THEN + timedelta(hours=1))
    assert asked(versions, rows).reason == "no version was in Production 8 weeks before"
    assert asked(versions, rows, weeks=0) is None
