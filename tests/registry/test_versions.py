"""Look-ups in a registry with hundreds of versions: each reads few of them, and finds what all of them would show."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag
from sqlalchemy import create_engine, insert, select

from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.domain.partitions import Partition, parse_specialist
from nhm_assets.registry.ab_tests import AbRequest, start_test
from nhm_assets.registry.foreign_moves import adopt, pointer_of
from nhm_assets.registry.transitions import put_into_production, registry_faults
from nhm_assets.registry.versions import version_in_production, versions_in_production, versions_with_tag
from nhm_assets.registry.vocabulary import FINGERPRINT_TAG
from nhm_assets.training.increment import freeze
from nhm_assets.training.registration import find_version, stage_candidate
from nhm_assets.training.training_spec import TrainingSpec
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import EARLIER, LATER, promote_here, roll_back_here
from tests.support.registry import MODEL, Registry, week_of
from tests.support.reports import trained_model

MANY = 300
FEW = 30
"""Versions that a look-up may read."""


class Reads:
    """MLflow's client, and how many versions its answers had."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.versions = 0
        self.requests = 0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = attribute(*args, **kwargs)
            self.requests += 1
            self.versions += len(answer) if isinstance(answer, list) else 1
            return answer

        return call


def training_spec(window_end: datetime) -> TrainingSpec:
    week = Partition(week_of(window_end), parse_specialist("technical"))
    window = week.window(days=30, now=NOW)
    return TrainingSpec(week, window, "data", "real", "code", {}, {}, None, "run-1", frozenset({"run-1"}))


@pytest.fixture
def many(registry: Registry) -> Registry:
    """Hundreds of archived versions of an old week, and then the champion."""
    first = registry.add(EARLIER - timedelta(weeks=10), stage="Archived")
    registry.client().delete_registered_model_alias(MODEL, "candidate")
    with create_engine(f"sqlite:///{registry.home}/mlflow.db").begin() as database:
        for table in (SqlModelVersion.__table__, SqlModelVersionTag.__table__):
            rows = database.execute(select(table).where(table.c.version == int(first))).mappings().all()
            copies = [{**row, "version": number} for number in range(int(first) + 1, MANY + 1) for row in rows]
            database.execute(insert(table), copies)
    registry.add(EARLIER, stage="Production")
    return registry


def test_who_is_in_production_is_asked_without_reading_all_versions(many: Registry, log: Any):
    client = Reads(many.client())
    champion = str(MANY + 1)
    assert str(version_in_production(client, MODEL).version) == champion
    assert pointer_of(client, log, MODEL).stage == (champion,)
    assert registry_faults(client, MODEL, champion) == []
    assert client.requests <= 10
    assert client.versions <= 3 * FEW


def test_a_promotion_reads_few_versions(many: Registry):
    client, candidate = Reads(many.client()), many.add(WEEK_END)
    put_into_production(client, MODEL, candidate, previous=str(MANY + 1), assert_lease=lambda: None)
    assert client.versions <= 3 * FEW
    stages = many.state()["stages"]
    assert [number for number, stage in stages.items() if stage == "Production"] == [candidate]
    assert len(stages) == MANY + 2


@pytest.mark.parametrize("older", [True, False])
def test_a_second_version_that_others_moved_into_production_is_found(many: Registry, *, older: bool):
    """Also one that MLflow's answer about the stage hides, because its number is lower."""
    second = "7" if older else many.unstaged(WEEK_END)
    many.client().transition_model_version_stage(MODEL, second, "Production")
    found = [str(version.version) for version in versions_in_production(many.client(), MODEL)]
    assert found == sorted([second, str(MANY + 1)], key=int, reverse=True)


def test_a_champion_behind_many_later_changes_is_found(many: Registry):
    """A second one that was moved before them, too."""
    many.client().transition_model_version_stage(MODEL, "7", "Production")
    for number in range(100, 122):
        many.client().update_model_version(MODEL, str(number), "looked at")
    found = [str(version.version) for version in versions_in_production(many.client(), MODEL)]
    assert found == [str(MANY + 1), "7"]


def compared_with(challenger: str) -> AbRequest:
    until = NOW + timedelta(days=7)
    return AbRequest("technical", MODEL, challenger, "replay", 0.9, "seed", until, 100, {"dagster_run_id": "run-1"})


def in_production(registry: Registry) -> list[str]:
    return [number for number, stage in registry.state()["stages"].items() if stage == "Production"]


@pytest.mark.parametrize("alias_too", [False, True])
def test_a_champion_behind_many_later_changes_is_found_beside_a_newer_version(
    many: Registry, log: Any, *, alias_too: bool
):
    champion = many.add(WEEK_END)
    promote_here(many, log, champion, WEEK_END)
    for number in range(100, 123):
        many.client().update_model_version(MODEL, str(number), "looked at")
    newer, candidate = many.unstaged(LATER), many.unstaged(LATER)
    many.client().transition_model_version_stage(MODEL, newer, "Production")
    if alias_too:
        many.client().set_registered_model_alias(MODEL, "production", newer)
    else:
        with pytest.raises(RegistryError, match=f"has versions {newer}, {champion} in stage Production"):
            version_in_production(many.client(), MODEL)
    several = f"has versions {newer}, {champion} in stage Production"
    with pytest.raises(RegistryError, match=several):
        promote_here(many, log, candidate, LATER)
    with pytest.raises(RegistryError, match=several):
        start_test(many.client(), log, compared_with(candidate), now=NOW, wait_s=5)
    with pytest.raises(RegistryError, match=several):
        freeze(many.client(), log, MODEL, "names", "")
    with pytest.raises(UsageError, match=f"has versions {champion}, {newer} in stage Production"):
        adopt(many.client(), log, MODEL, reason="tested by hand", fields={}, now=NOW, wait_s=5)
    assert in_production(many) == [newer, champion]
    # A person keeps the newer one, and it alone is left.
    roll_back_here(many, log, newer)
    assert in_production(many) == [newer]
    assert pointer_of(many.client(), log, MODEL).is_foreign is False


def test_a_promotion_between_two_questions_is_not_two_versions_in_production(many: Registry):
    candidate = many.add(WEEK_END)

    class Promoting(Reads):
        def search_model_versions(self, *args: Any, **kwargs: Any) -> Any:
            many.client().transition_model_version_stage(MODEL, candidate, "Production", archive_existing_versions=True)
            return many.client().search_model_versions(*args, **kwargs)

    assert str(version_in_production(Promoting(many.client()), MODEL).version) == candidate


def test_training_finds_the_version_of_the_same_data_by_its_tag(many: Registry):
    spec = training_spec(WEEK_END)
    client = Reads(many.client())
    assert find_version(client, spec) is None
    numbers = [many.unstaged(WEEK_END), many.unstaged(WEEK_END)]
    for number in numbers:
        many.client().set_model_version_tag(MODEL, number, FINGERPRINT_TAG, spec.fingerprint)
    found = versions_with_tag(client, MODEL, FINGERPRINT_TAG, spec.fingerprint)
    assert [str(version.version) for version in found] == numbers[::-1]
    assert client.versions <= FEW


@pytest.mark.parametrize(("window_end", "takes_it"), [(LATER, True), (WEEK_END, False)])
def test_a_candidate_is_compared_with_those_of_its_week_and_of_later_ones(
    many: Registry, window_end, *, takes_it: bool
):
    waiting = many.add(LATER - timedelta(days=1))
    many.client().delete_registered_model_alias(MODEL, "candidate")
    client, number = Reads(many.client()), many.unstaged(window_end)
    trained = trained_model(model=MODEL, version=number, window_end=window_end, week=week_of(window_end))
    stage_candidate(client, trained, now=NOW)
    assert many.state()["aliases"]["candidate"] == (number if takes_it else waiting)
    assert client.versions <= FEW


def test_a_candidate_of_an_old_week_is_compared_with_all(many: Registry):
    old = EARLIER - timedelta(weeks=8)
    newest = many.add(WEEK_END)
    many.client().delete_registered_model_alias(MODEL, "candidate")
    number = many.unstaged(old)
    stage_candidate(
        many.client(), trained_model(model=MODEL, version=number, window_end=old, week=week_of(old)), now=NOW
    )
    assert many.state()["aliases"]["candidate"] == newest
