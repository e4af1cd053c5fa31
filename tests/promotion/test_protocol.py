"""The promotion protocol: one at a time, the newest window wins, a rolled back version is not promoted again."""

from datetime import timedelta

import pytest

from nhm_assets.domain.errors import ChampionChanged, RegistryError
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.partitions import WEEK as A_WEEK
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import (
    EARLIER,
    LATER,
    Place,
    promote_compared_with,
    promote_here,
    roll_back_here,
    start_promotion,
)
from tests.support.registry import MODEL


def test_the_first_version_goes_to_production_by_stage_and_alias(registry, log):
    version = registry.add(WEEK_END)
    decision = promote_here(registry, log, version, WEEK_END)
    assert decision.outcome is Outcome.PROMOTED
    assert registry.state() == {"stages": {version: "Production"}, "aliases": {"production": version}}


def test_the_version_before_is_archived_and_keeps_the_alias_previous(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, log, new, WEEK_END)
    assert registry.state() == {
        "stages": {old: "Archived", new: "Production"},
        "aliases": {"production": new, "previous": old},
    }


def test_the_audit_log_records_actor_versions_and_stages_of_a_promotion(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    decision = promote_here(registry, log, new, WEEK_END)
    entry = log.find_one({"_id": decision.audit_id})
    assert (entry["kind"], entry["state"]) == ("promoted", "done")
    assert (entry["actor"], entry["from_version"], entry["version"]) == ("a person", old, new)
    assert {"version": old, "from_stage": "Production", "to_stage": "Archived"} in entry["transitions"]


def test_an_older_window_never_replaces_a_newer_one(registry, log):
    new, old = registry.add(WEEK_END, stage="Production"), registry.add(EARLIER)
    before = registry.state()
    decision = promote_here(registry, log, old, EARLIER)
    assert decision.outcome is Outcome.SUPERSEDED
    assert registry.state() == before
    assert new in decision.reason
    assert log.count_documents({}) == 0


@pytest.mark.parametrize("in_production", ["a newer one", "the one before", "none"])
def test_a_candidate_replaces_only_the_version_that_the_gate_compared_it_with(registry, log, in_production):
    """While the run evaluated, somebody promoted another version, rolled back, or archived the champion."""
    old, compared = registry.add(EARLIER - A_WEEK, stage="Archived"), registry.add(EARLIER, stage="Production")
    candidate = registry.add(WEEK_END)
    moved = {"a newer one": registry.add(EARLIER), "the one before": old, "none": None}[in_production]
    client = registry.client()
    client.transition_model_version_stage(MODEL, compared, "Archived")
    if moved:
        client.transition_model_version_stage(MODEL, moved, "Production")
    before = registry.state()
    with pytest.raises(ChampionChanged) as refused:
        promote_compared_with(registry, log, candidate, WEEK_END, compared)
    now = f"version {moved} is in Production" if moved else "no version is in Production"
    assert f"{now}, but the gate compared the candidate with version {compared}" in str(refused.value)
    assert (registry.state(), log.count_documents({})) == (before, 0)
    assert promote_compared_with(registry, log, candidate, WEEK_END, moved).outcome is Outcome.PROMOTED


def test_a_candidate_that_was_compared_with_nothing_does_not_replace_a_first_version(registry, log):
    candidate = registry.add(WEEK_END)
    first = registry.add(EARLIER, stage="Production")
    with pytest.raises(ChampionChanged, match=f"version {first} is in Production, but the gate .* when no version was"):
        promote_compared_with(registry, log, candidate, WEEK_END, None)
    assert registry.state()["stages"][first] == "Production"


def test_the_same_window_may_be_promoted_again(registry, log):
    registry.add(WEEK_END, stage="Production")
    assert promote_here(registry, log, registry.add(WEEK_END), WEEK_END).outcome is Outcome.PROMOTED


def test_a_champion_from_elsewhere_can_be_replaced(registry, log):
    registry.add(None, stage="Production")
    assert promote_here(registry, log, registry.add(WEEK_END), WEEK_END).outcome is Outcome.PROMOTED


def test_promoting_the_champion_again_moves_and_logs_nothing(registry, log):
    version = registry.add(WEEK_END)
    promote_here(registry, log, version, WEEK_END)
    entries, before = log.count_documents({}), registry.state()
    decision = promote_here(registry, log, version, WEEK_END)
    assert (decision.outcome, decision.audit_id) == (Outcome.PROMOTED, None)
    assert (log.count_documents({}), registry.state()) == (entries, before)


def test_the_next_promotion_corrects_an_alias_that_somebody_moved(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, log, new, WEEK_END)
    registry.client().set_registered_model_alias(MODEL, "production", old)
    assert registry_faults(registry.client(), MODEL, new)
    promote_here(registry, log, new, WEEK_END)
    assert registry_faults(registry.client(), MODEL, new) == []


def test_two_versions_in_production_are_an_error_that_names_them(registry, log):
    first, second = registry.add(EARLIER, stage="Production"), registry.add(EARLIER, stage="Production")
    with pytest.raises(RegistryError, match=f"{second}, {first}"):
        promote_here(registry, log, registry.add(WEEK_END), WEEK_END)


def test_a_rolled_back_version_is_held_with_the_reason_and_the_command_that_brings_it_back(registry, log):
    good, bad = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, log, bad, WEEK_END)
    roll_back_here(registry, log, reason="it approves everything")
    before, entries = registry.state(), log.count_documents({})
    decision = promote_here(registry, log, bad, WEEK_END)
    assert decision.outcome is Outcome.HELD
    assert "it approves everything" in decision.reason
    assert f"nhm rollback technical --to {bad} --reason" in decision.reason
    assert (registry.state(), log.count_documents({})) == (before, entries)
    assert before["stages"] == {good: "Production", bad: "Archived"}


@pytest.mark.parametrize("when", ["begun", NOW.isoformat()])
def test_a_version_without_files_is_held(registry, log, when):
    """Its week may run again when no newer version is in Production."""
    version = registry.add(WEEK_END)
    registry.client().set_model_version_tag(MODEL, version, FILES_DELETED_TAG, when)
    decision = promote_here(registry, log, version, WEEK_END)
    assert decision.outcome is Outcome.HELD
    assert "its files were deleted" in decision.reason
    assert registry.state()["stages"] == {version: "Staging"}
    assert log.count_documents({}) == 0


@pytest.mark.parametrize("window_end", [WEEK_END, LATER], ids=["the same window", "a newer window"])
def test_another_version_is_promoted_after_a_rollback(registry, log, window_end):
    good, bad = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, log, bad, WEEK_END)
    roll_back_here(registry, log)
    newer = registry.add(window_end)
    assert promote_here(registry, log, newer, window_end).outcome is Outcome.PROMOTED
    assert registry.state() == {
        "stages": {good: "Archived", bad: "Archived", newer: "Production"},
        "aliases": {"production": newer, "previous": good},
    }


@pytest.mark.servers
def test_of_many_simultaneous_promotions_the_newest_window_ends_in_production(registry, database, log, mongod_uri):
    ends = [WEEK_END + timedelta(days=7 * week) for week in (2, 0, 3, 1)]
    versions = [registry.add(end) for end in ends]
    place = Place(registry.home, mongod_uri, database.name)
    started = [start_promotion(place, *arguments) for arguments in zip(versions, ends, strict=True)]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0, 0]
    newest = versions[ends.index(max(ends))]
    stages = registry.state()["stages"]
    assert [number for number, stage in stages.items() if stage == "Production"] == [newest]
    assert registry_faults(registry.client(), MODEL, newest) == []
    assert log.count_documents({"state": "open"}) == 0
