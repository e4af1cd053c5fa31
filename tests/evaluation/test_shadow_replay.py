"""Candidate and champion of a real registry, asked about the plans in a real MongoDB."""

import time
from datetime import timedelta
from typing import Any

import pytest
from pymongo.collection import Collection

from nhm_assets.domain.records import TrainedModel
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.shadow_replay import COMPARISONS, ShadowRun, cast_shadow
from nhm_assets.settings import Settings
from tests.support.documents import NOW
from tests.support.learnable import learnable
from tests.support.reports import trained_model
from tests.support.served import said, served_plans, slow_view
from tests.support.versions import FEW_TREES, MODEL, Versions, small_forest

PROMOTED_AT = NOW - timedelta(days=3)
SETTINGS = Settings(nhm_now=NOW)
PLANS = 40


class Shadows:
    """Casts shadows of a candidate on a champion."""

    def __init__(self, versions: Versions, database: Any, champion: str, candidate: str) -> None:
        self.versions = versions
        self.database = database
        self.champion = champion
        self.trained: TrainedModel = trained_model(version=candidate)
        self.warnings: list[str] = []

    def cast(self, champion: str | None = None, **settings: Any) -> ShadowRun | None:
        return cast_shadow(
            self.versions.client,
            self.database,
            self.trained,
            self.versions.client.get_model_version(MODEL, champion or self.champion),
            SETTINGS.model_copy(update=settings),
            warn=self.warnings.append,
        )


@pytest.fixture(scope="module")
def pair(versions: Versions) -> tuple[str, str]:
    """A champion, and a candidate that learned another world."""
    return versions.add(small_forest(noise=0)), versions.add(small_forest(noise=0, decided_by="density"))


@pytest.fixture
def shadows(versions: Versions, pair: tuple[str, str], database) -> Shadows:
    champion, candidate = pair
    database["model_audit_log"].insert_many(versions.log.find({"kind": "registered"}))
    database["model_audit_log"].insert_one(
        {"model": MODEL, "kind": "promoted", "version": champion, "at": PROMOTED_AT, "released_at": PROMOTED_AT}
    )
    database["plan_features"].insert_many(served_plans(PLANS, timestamp=PROMOTED_AT.timestamp()))
    database["plan_features"].insert_many(served_plans(5, timestamp=PROMOTED_AT.timestamp() - 100, name="before"))
    return Shadows(versions, database, champion, candidate)


def test_both_are_asked_about_the_plans_since_the_promotion(shadows):
    made = shadows.cast().shadow
    assert (made.champion, made.since, made.plans, made.fault) == (shadows.champion, PROMOTED_AT, PLANS, None)
    assert made.agreement < 0.9
    assert made.largest[0].champion_class != made.largest[0].candidate_class
    assert shadows.warnings == []


def test_a_version_agrees_with_its_twin(versions, shadows):
    shadows.trained = trained_model(version=versions.add(small_forest(noise=0)))
    shadows.database["model_audit_log"].insert_one(versions.log.find_one({"version": shadows.trained.version}))
    made = shadows.cast().shadow
    assert (made.agreement, made.confidence.low, made.risk.high) == (1.0, 0.0, 0.0)


def test_only_the_newest_plans_are_asked(shadows):
    assert shadows.cast(shadow_plans=7).shadow.plans == 7


@pytest.mark.parametrize("setting", [{"shadow_plans": 0}, {"champion": "the candidate itself"}])
def test_without_plans_or_another_champion_nothing_is_compared(shadows, setting):
    champion = shadows.trained.version if setting.pop("champion", None) else None
    assert shadows.cast(champion, **setting) is None


def test_answers_are_paired_with_opinions(shadows):
    ids = [f"served-{number}" for number in range(PLANS)]
    opinions = said(ids[:10], confidence=0.3, version=shadows.champion) + said(ids[10:15], confidence=0.3, version=None)
    shadows.database["specialist_opinions"].insert_many(opinions)
    made = shadows.cast().shadow
    assert (made.said.by_champion, made.said.by_others) == (10, 5)
    assert made.said.difference > 0


def test_what_the_specialists_read_is_compared_whatever_a_version_means(versions, shadows):
    """A version of another order gives them its risk as confidence."""
    codes = versions.add(fit_model(learnable(noise=0), FEW_TREES, threads=1, served="codes"))
    shadows.trained = trained_model(version=codes)
    shadows.database["model_audit_log"].insert_one(versions.log.find_one({"version": codes}))
    made = shadows.cast().shadow
    assert made.same_class > 0.9
    plan = made.largest[0]
    assert plan.candidate_confidence == pytest.approx(plan.champion_risk, abs=0.3)
    assert abs(plan.candidate_confidence - plan.champion_confidence) > 0.5


def test_a_rerun_replaces_its_comparisons(shadows):
    shadows.cast()
    assert shadows.database[COMPARISONS].count_documents({}) == 0
    shadows.cast(write_shadow_comparisons=True)
    shadows.cast(write_shadow_comparisons=True, nhm_now=NOW + timedelta(hours=1))
    found = list(shadows.database[COMPARISONS].find())
    assert len(found) == len({one["comparison_id"] for one in found}) == PLANS
    assert {one["timestamp"] for one in found} == {NOW + timedelta(hours=1)}
    assert {(one["prod_version"], one["shadow_version"]) for one in found} == {
        (shadows.champion, shadows.trained.version)
    }
    assert {len(one["features"]) for one in found} == {26}


def test_a_slow_database_is_warned_of_and_breaks_nothing(shadows):
    slow = slow_view(shadows.database, "plan_features", seconds_per_document=0.1)
    run = shadows.cast(features_collection=slow)
    assert (run.shadow.plans, run.picture) == (0, None)
    assert run.shadow.fault
    assert shadows.warnings == [f"candidate and champion were not compared on stored plans: {run.shadow.fault}"]


def test_slow_opinions_leave_the_comparison_of_both_versions(shadows):
    ids = [f"served-{number}" for number in range(PLANS)]
    shadows.database["specialist_opinions"].insert_many(said(ids, confidence=0.3, version=shadows.champion))
    slow = slow_view(shadows.database, "specialist_opinions", seconds_per_document=0.1)
    made = shadows.cast(opinions_collection=slow).shadow
    assert (made.plans, made.said, made.fault) == (PLANS, None, None)
    assert "the opinions on the stored plans were not read" in shadows.warnings[0]


def test_a_champion_that_cannot_be_verified_is_not_asked(versions, shadows):
    foreign = versions.add(small_forest(noise=0), verified=False)
    adopted = {"model": MODEL, "kind": "adopted", "version": foreign, "at": PROMOTED_AT, "released_at": NOW}
    shadows.database["model_audit_log"].insert_one(adopted)
    run = shadows.cast(foreign)
    assert "cannot be verified" in run.shadow.fault
    assert len(shadows.warnings) == 1


def test_a_write_may_take_longer_than_a_read(shadows, monkeypatch):
    """A new collection and two thousand documents take longer than half a second on a busy machine."""
    write = Collection.bulk_write

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(1)
        return write(*args, **options)

    monkeypatch.setattr(Collection, "bulk_write", slowly)
    shadows.cast(write_shadow_comparisons=True)
    assert (shadows.warnings, shadows.database[COMPARISONS].count_documents({})) == ([], PLANS)


def test_comparisons_that_cannot_be_written_are_warned_of(shadows):
    shadows.database.create_collection(COMPARISONS, viewOn="plan_features", pipeline=[])
    assert shadows.cast(write_shadow_comparisons=True).shadow.plans == PLANS
    assert f"not all comparisons were written to {COMPARISONS}" in shadows.warnings[0]
