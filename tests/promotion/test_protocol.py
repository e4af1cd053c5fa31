"""The promotion protocol: one at a time, newest window wins, and no kill leaves half a promotion."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nhm_assets.errors import RegistryError
from nhm_assets.outcomes import Outcome
from nhm_assets.promotion.intent import hold_intent
from nhm_assets.promotion.moves import registry_faults
from nhm_assets.promotion.protocol import Decision, Request, promote
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import LEASE_S, Place, start_promotion
from tests.support.registry import MODEL, Registry

EARLIER = WEEK_END - timedelta(days=7)
LATER = WEEK_END + timedelta(days=7)


@pytest.fixture
def registry(tmp_path: Path, migrated_mlflow: Path) -> Registry:
    shutil.copytree(migrated_mlflow, tmp_path / "mlflow")
    return Registry(tmp_path / "mlflow")


@pytest.fixture
def log(database):
    return database["model_audit_log"]


def promote_here(registry: Registry, log, version: str, window_end: datetime, **options) -> Decision:
    request = Request(MODEL, version, window_end, {"actor": "a person", "reason": "every gate check passed"})
    return promote(registry.client(), log, request, now=NOW, wait_s=options.pop("wait_s", 10), **options)


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


def test_a_promotion_leaves_who_from_to_and_why_in_the_audit_log(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    decision = promote_here(registry, log, new, WEEK_END)
    entry = log.find_one({"_id": decision.audit_id})
    assert entry["state"] == "done"
    assert (entry["actor"], entry["from_version"], entry["version"]) == ("a person", old, new)
    assert {"version": old, "from_stage": "Production", "to_stage": "Archived"} in entry["transitions"]


def test_an_older_window_never_displaces_a_newer_one(registry, log):
    new, old = registry.add(WEEK_END, stage="Production"), registry.add(EARLIER)
    before = registry.state()
    decision = promote_here(registry, log, old, EARLIER)
    assert decision.outcome is Outcome.SUPERSEDED
    assert registry.state() == before
    assert new in decision.reason
    assert log.count_documents({}) == 0


def test_the_same_window_may_be_promoted_again(registry, log):
    registry.add(WEEK_END, stage="Production")
    assert promote_here(registry, log, registry.add(WEEK_END), WEEK_END).outcome is Outcome.PROMOTED


def test_a_champion_that_was_not_made_here_can_be_replaced(registry, log):
    registry.add(None, stage="Production")
    assert promote_here(registry, log, registry.add(WEEK_END), WEEK_END).outcome is Outcome.PROMOTED


def test_promoting_what_is_in_production_already_moves_and_logs_nothing(registry, log):
    version = registry.add(WEEK_END)
    promote_here(registry, log, version, WEEK_END)
    entries, before = log.count_documents({}), registry.state()
    decision = promote_here(registry, log, version, WEEK_END)
    assert (decision.outcome, decision.audit_id) == (Outcome.PROMOTED, None)
    assert (log.count_documents({}), registry.state()) == (entries, before)


def test_an_alias_that_somebody_moved_is_put_right_by_the_next_promotion(registry, log):
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


def test_a_living_promotion_is_waited_for_and_not_taken_over(registry, log):
    version = registry.add(WEEK_END)
    with (
        hold_intent(log, MODEL, {"at": NOW}, repair=pytest.fail, wait_s=1, lease_s=LEASE_S) as held,
        pytest.raises(RegistryError, match="under way"),
    ):
        promote_here(registry, log, version, WEEK_END, wait_s=3 * LEASE_S, lease_s=LEASE_S)
    held.withdraw()
    assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED


def test_another_model_is_promoted_meanwhile(registry, log):
    version = registry.add(WEEK_END)
    with hold_intent(log, "business-evaluator", {"at": NOW}, repair=pytest.fail, wait_s=1) as held:
        assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED
        held.withdraw()


def test_an_owner_whose_lease_ran_out_may_no_longer_write(log):
    with hold_intent(log, MODEL, {"at": NOW}, repair=pytest.fail, wait_s=1, lease_s=LEASE_S) as held:
        held.require_held()
        log.update_one({"_id": held.id}, {"$set": {"owner": "somebody else"}})
        held._valid_until = 0
        with pytest.raises(RegistryError, match="lost the lock"):
            held.require_held()


def test_an_intent_whose_version_is_gone_is_undone(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    client = registry.client()
    with hold_intent(log, MODEL, {"at": NOW, "version": new}, repair=pytest.fail, wait_s=1, lease_s=LEASE_S) as held:
        held.note(from_version=old)
        client.set_registered_model_alias(MODEL, "production", new)
    client.delete_model_version(MODEL, new)
    latest = registry.add(LATER)
    promote_here(registry, log, latest, LATER, lease_s=LEASE_S)
    assert log.find_one({"_id": held.id})["state"] == "undone"
    assert registry.state()["aliases"] == {"production": latest, "previous": old}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_call_a_rerun_ends_in_the_one_right_state(registry, database, mongod_uri, tmp_path):
    """SIGKILL instead of the n-th call to MLflow or MongoDB, for every n that there is."""
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, database["model_audit_log"], old, EARLIER)
    right = {"stages": {old: "Archived", new: "Production"}, "aliases": {"production": new, "previous": old}}
    kills = 0
    while True:
        copy = registry.copy_to(tmp_path / f"killed-{kills}")
        database.drop_collection("model_audit_log")
        place = Place(copy.home, mongod_uri, database.name)
        first = start_promotion(place, new, WEEK_END, killed_at=kills)
        first.join()
        if first.exitcode == 0:
            break
        assert first.exitcode == -9
        again = start_promotion(place, new, WEEK_END)
        again.join()
        assert again.exitcode == 0, f"the run after a kill at call {kills} failed"
        assert copy.state() == right, f"after a kill at call {kills}"
        log = database["model_audit_log"]
        assert log.count_documents({"state": "open"}) == 0
        assert log.count_documents({"state": "done", "version": new}) == 1, f"after a kill at call {kills}"
        kills += 1
    assert copy.state() == right
    assert kills > 10


@pytest.mark.slow
def test_of_many_at_once_the_newest_window_ends_in_production(registry, database, mongod_uri):
    ends = [WEEK_END + timedelta(days=7 * week) for week in (2, 0, 3, 1)]
    versions = [registry.add(end) for end in ends]
    place = Place(registry.home, mongod_uri, database.name)
    started = [start_promotion(place, *one) for one in zip(versions, ends, strict=True)]
    for one in started:
        one.join()
    assert [one.exitcode for one in started] == [0, 0, 0, 0]
    newest = versions[ends.index(max(ends))]
    stages = registry.state()["stages"]
    assert [number for number, stage in stages.items() if stage == "Production"] == [newest]
    assert registry_faults(registry.client(), MODEL, newest) == []
    assert database["model_audit_log"].count_documents({"state": "open"}) == 0
