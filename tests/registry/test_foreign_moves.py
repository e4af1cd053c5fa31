"""Moves of the champion by somebody else: what counts as one, and how a person settles it."""

from typing import Any

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.registry import foreign_moves
from nhm_assets.registry.champions import champions
from nhm_assets.registry.foreign_moves import (
    Pointer,
    adopt,
    pointer_of,
    pointers_of,
    record_foreign_move,
    remedy,
    restore,
)
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.recovery import plan_moves
from nhm_assets.registry.transitions import registry_faults
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import EARLIER, LATER, promote_here, roll_back_here
from tests.support.registry import MODEL, Registry

FIELDS = {"specialist": "technical"}


@pytest.fixture
def two(registry: Registry, log) -> tuple[str, str]:
    """Two versions, promoted one after the other."""
    versions = (registry.add(EARLIER), registry.add(WEEK_END))
    promote_here(registry, log, versions[0], EARLIER)
    promote_here(registry, log, versions[1], WEEK_END)
    return versions


def stage_moved(registry: Registry, version: str, stage: str = "Production") -> None:
    """What the button in MLflow's UI does."""
    archive = stage == "Production"
    registry.client().transition_model_version_stage(MODEL, version, stage, archive_existing_versions=archive)


def look(registry: Registry, log: Any) -> dict[str, Any] | None:
    """What the sensor does at a tick."""
    return record_foreign_move(registry.client(), log, MODEL, FIELDS, now=NOW)


def adopted(registry: Registry, log: Any, reason: str = "tested by hand") -> Any:
    return adopt(registry.client(), log, MODEL, reason=reason, fields=FIELDS | {"actor": "ada"}, now=NOW, wait_s=5)


def moved(kind: str, registry: Registry, two: tuple[str, str]) -> dict[str, Any]:
    """Let a stranger move the pointer; returns what the entry must say."""
    first, second = two
    client = registry.client()
    if kind == "stage":
        stage_moved(registry, first)
        return {"version": first, "stage": [first], "alias": second}
    if kind == "alias":
        client.set_registered_model_alias(MODEL, "production", first)
        return {"version": second, "stage": [second], "alias": first}
    if kind == "alias deleted":
        client.delete_registered_model_alias(MODEL, "production")
        return {"version": second, "stage": [second], "alias": None}
    if kind == "archived":
        stage_moved(registry, second, "Archived")
        return {"version": None, "stage": [], "alias": second}
    if kind == "second version":
        client.transition_model_version_stage(MODEL, first, "Production")
        return {"version": None, "stage": [first, second], "alias": second}
    if kind == "back in Staging":
        stage_moved(registry, second, "Staging")
        return {"version": None, "stage": [], "alias": second}
    newest = registry.add(LATER)
    stage_moved(registry, newest)
    client.set_registered_model_alias(MODEL, "production", newest)
    return {"version": newest, "stage": [newest], "alias": newest}


KINDS = ["stage", "alias", "alias deleted", "archived", "second version", "back in Staging", "stage and alias"]


def test_our_own_moves_are_no_foreign_moves(registry, log, two):
    assert look(registry, log) is None
    roll_back_here(registry, log)
    assert look(registry, log) is None
    assert log.count_documents({"kind": "foreign_move"}) == 0


@pytest.mark.parametrize(
    ("stage", "words"),
    [((), "no version is in"), (("1",), "version 1 is in"), (("1", "4"), "versions 1 and 4 are in")],
)
def test_the_sentence_says_how_many_versions_are_in_production(stage, words):
    pointer = Pointer(MODEL, stage, alias=None, audited="2")
    assert pointer.sentence.startswith(f"{MODEL}: {words} stage Production and the alias production names no version")


def test_a_promotion_that_ends_between_two_looks_is_no_foreign_move(registry, log, monkeypatch):
    """All entries of the audit log are read before the registry."""
    first, second = registry.add(EARLIER), registry.add(WEEK_END)
    promote_here(registry, log, first, EARLIER)

    def promoted_meanwhile(*asked: Any) -> Any:
        promote_here(registry, log, second, WEEK_END)
        return champions(*asked)

    monkeypatch.setattr(foreign_moves, "champions", promoted_meanwhile)
    (pointer,) = pointers_of(registry.client(), log, [MODEL])
    assert (pointer.audited, pointer.is_foreign) == (second, False)


def test_a_registry_from_before_the_platform_is_no_foreign_move(registry, log):
    registry.add(None, stage="Production")
    assert look(registry, log) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_move_is_recorded_once_and_nothing_is_moved_back(registry, log, two, kind):
    expected = moved(kind, registry, two)
    before = registry.state()
    entry = look(registry, log)
    assert {name: entry[name] for name in expected} == expected
    assert (entry["kind"], entry["state"], entry["from_version"], entry["at"]) == (
        "foreign_move",
        "unsettled",
        two[1],
        NOW,
    )
    assert f"the audit log last recorded version {two[1]}. Somebody else moved it" in entry["reason"]
    assert "timestamp" not in entry
    assert look(registry, log)["_id"] == entry["_id"]
    assert log.count_documents({"kind": "foreign_move"}) == 1
    assert registry.state() == before


def test_the_entry_names_who_registered_the_version_if_mlflow_knows(registry, log, two):
    client = registry.client()
    run = client.create_run("0", tags={"mlflow.user": "bob"})
    version = str(client.create_model_version(MODEL, "file:///nowhere", run_id=run.info.run_id).version)
    stage_moved(registry, version)
    entry = look(registry, log)
    assert (entry["registered_by"], entry["actor"]) == ("bob", None)
    client.delete_run(run.info.run_id)
    stage_moved(registry, two[0])
    assert look(registry, log)["registered_by"] is None


def test_a_second_foreign_move_is_a_new_entry_and_one_that_was_taken_back_is_settled(registry, log, two):
    moved("stage", registry, two)
    first = look(registry, log)
    moved("stage and alias", registry, two)
    second = look(registry, log)
    assert second["_id"] != first["_id"]
    states = {entry["_id"]: entry["state"] for entry in log.find({"kind": "foreign_move"})}
    assert states == {first["_id"]: "settled", second["_id"]: "unsettled"}
    stage_moved(registry, two[1])
    registry.client().set_registered_model_alias(MODEL, "production", two[1])
    assert look(registry, log) is None
    assert log.count_documents({"kind": "foreign_move", "state": "unsettled"}) == 0


def test_a_promotion_in_progress_is_no_foreign_move(registry, log, two):
    """Its moves are half done, and its entry is still open."""
    newest = registry.add(LATER)
    with hold_lock(log, MODEL, {"kind": "promotion", "at": NOW}, recover=pytest.fail, wait_s=1) as held:
        held.update(version=newest, **plan_moves(newest, champion=two[1], previous=two[1]))
        registry.client().set_registered_model_alias(MODEL, "production", newest)
        assert look(registry, log) is None
        held.discard()
    assert look(registry, log)["alias"] == newest


@pytest.mark.parametrize("kind", KINDS)
def test_an_adoption_is_recommended_only_where_it_would_be_done(registry, log, two, kind):
    moved(kind, registry, two)
    pointer = pointer_of(registry.client(), log, MODEL)
    advice = remedy(registry.client(), "technical", pointer)
    assert advice.endswith(f"To go back, run `nhm rollback technical --to {two[1]} --reason TEXT`")
    if advice.startswith("To keep it, run `nhm adopt technical --reason TEXT`. "):
        assert adopted(registry, log).stage == pointer.stage
        return
    with pytest.raises(UsageError):
        adopted(registry, log)
    assert advice.startswith("To keep another one, archive all others in MLflow, then run `nhm adopt") == (
        kind == "second version"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_without_a_target_puts_back_the_version_of_the_audit_log(registry, log, two, kind):
    """Not the one before it, which the alias `previous` names."""
    moved(kind, registry, two)
    assert look(registry, log)
    assert roll_back_here(registry, log).version == two[1]
    assert registry_faults(registry.client(), MODEL, two[1]) == []
    assert look(registry, log) is None
    assert log.count_documents({"kind": "foreign_move", "state": "settled"}) == 1


@pytest.mark.parametrize("named", [True, False], ids=["as advised", "without a target"])
def test_a_champion_that_was_deleted_gives_way_to_the_version_before_it(registry, log, two, named):
    first, second = two
    registry.client().delete_model_version(MODEL, second)
    advice = remedy(registry.client(), "technical", pointer_of(registry.client(), log, MODEL))
    assert advice == (
        f"Version {second} no longer exists. To go back to an earlier one, run `nhm rollback technical --to {first}"
        " --reason TEXT`"
    )
    assert roll_back_here(registry, log, first if named else None).version == first
    assert registry_faults(registry.client(), MODEL, first) == []
    assert look(registry, log) is None


def test_without_a_version_before_the_deleted_champion_a_person_names_one(registry, log):
    only = registry.add(EARLIER)
    promote_here(registry, log, only, EARLIER)
    registry.client().delete_model_version(MODEL, only)
    advice = remedy(registry.client(), "technical", pointer_of(registry.client(), log, MODEL))
    assert advice.endswith("To go back to an earlier one, run `nhm rollback technical --to VERSION --reason TEXT`")
    with pytest.raises(UsageError, match="name the target with --to"):
        roll_back_here(registry, log)


@pytest.mark.parametrize("kind", KINDS)
def test_a_configured_restoration_moves_the_champion_back(registry, log, two, kind):
    moved(kind, registry, two)
    restore(registry.client(), log, MODEL, fields=FIELDS | {"actor": "sensor"}, now=NOW, wait_s=5)
    assert registry_faults(registry.client(), MODEL, two[1]) == []
    assert registry.state()["aliases"]["previous"] == two[0]
    assert look(registry, log) is None
    entry = log.find_one({"kind": "restored"})
    assert (entry["version"], entry["actor"], entry["state"]) == (two[1], "sensor", "done")
    restore(registry.client(), log, MODEL, fields=FIELDS, now=NOW, wait_s=5)
    assert log.count_documents({"kind": "restored"}) == 1


@pytest.mark.parametrize("kind", ["stage", "alias", "alias deleted", "stage and alias"])
def test_an_adoption_accepts_the_version_in_production_with_the_reason(registry, log, two, kind):
    champion = moved(kind, registry, two)["version"]
    assert adopted(registry, log).stage == (champion,)
    assert registry_faults(registry.client(), MODEL, champion) == []
    assert look(registry, log) is None
    entry = log.find_one({"kind": "adopted"})
    assert (entry["version"], entry["from_version"]) == (champion, two[1])
    assert (entry["reason"], entry["actor"], entry["specialist"]) == ("tested by hand", "ada", "technical")
    if champion != two[1]:
        assert registry.state()["aliases"]["previous"] == two[1]
        assert roll_back_here(registry, log).version == two[1]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("archived", "has no version in Production, so there is nothing to adopt.*nhm rollback technical --to VERSION"),
        ("second version", "has versions"),
    ],
)
def test_an_adoption_needs_exactly_one_version_in_production(registry, log, two, kind, message):
    moved(kind, registry, two)
    before, entries = registry.state(), log.count_documents({})
    with pytest.raises(UsageError, match=message):
        adopted(registry, log)
    assert (registry.state(), log.count_documents({})) == (before, entries)


def test_an_adoption_without_a_foreign_move_changes_nothing(registry, log, two):
    entries = log.count_documents({})
    assert not adopted(registry, log).is_foreign
    assert log.count_documents({}) == entries


def test_an_adoption_needs_a_reason(registry, log, two):
    with pytest.raises(UsageError, match="needs a reason"):
        adopted(registry, log, " ")


def test_the_version_from_before_the_platform_can_be_adopted(registry, log):
    version = registry.add(None, stage="Production")
    adopted(registry, log)
    assert pointer_of(registry.client(), log, MODEL).audited == version


def test_a_promotion_settles_a_foreign_move(registry, log, two):
    moved("stage", registry, two)
    look(registry, log)
    newest = registry.add(LATER)
    promote_here(registry, log, newest, LATER)
    assert look(registry, log) is None
    assert log.count_documents({"kind": "foreign_move", "state": "settled"}) == 1
