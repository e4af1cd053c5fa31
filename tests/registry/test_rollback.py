"""Rollback to an earlier version: which one, what happens to the version before, and what is refused."""

import pytest

from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.registry.rollback import record_restart
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, ROLLED_BACK_TAG
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import EARLIER, LATER, REASON, promote_here, roll_back_here
from tests.support.registry import MODEL, Registry

WINDOWS = (EARLIER, WEEK_END, LATER)


@pytest.fixture
def three(registry: Registry, log) -> tuple[str, str, str]:
    """Three versions, promoted one after the other; the last one is in Production."""
    versions = []
    for window_end in WINDOWS:
        versions.append(registry.add(window_end))
        promote_here(registry, log, versions[-1], window_end)
    return tuple(versions)


def marks(registry: Registry) -> dict[str, str]:
    """The versions that were rolled back -> reason."""
    found = {number: registry.client().get_model_version(MODEL, number).tags for number in registry.state()["stages"]}
    return {number: tags[ROLLED_BACK_TAG] for number, tags in found.items() if ROLLED_BACK_TAG in tags}


def test_a_rollback_promotes_the_previous_version_and_archives_and_tags_the_current_one(registry, log, three):
    first, second, third = three
    done = roll_back_here(registry, log)
    assert (done.model, done.version, done.from_version) == (MODEL, second, third)
    assert registry.state() == {
        "stages": {first: "Archived", second: "Production", third: "Archived"},
        "aliases": {"production": second, "previous": first},
    }
    assert marks(registry) == {third: REASON}
    assert registry_faults(registry.client(), MODEL, second) == []


def test_a_reason_of_any_length_is_recorded(registry, log, three):
    """MLflow refuses a tag of this length: nobody could finish such a rollback."""
    reason = "x" * 100_001
    done = roll_back_here(registry, log, reason=reason)
    assert log.find_one({"_id": done.audit_id})["reason"] == reason
    assert marks(registry)[three[2]].startswith("xxx")


def test_a_rollback_to_a_named_version(registry, log, three):
    first, second, third = three
    done = roll_back_here(registry, log, first)
    assert (done.version, done.from_version) == (first, third)
    assert registry.state() == {
        "stages": {first: "Production", second: "Archived", third: "Archived"},
        "aliases": {"production": first},
    }
    assert marks(registry) == {third: REASON}


def test_a_second_rollback_goes_further_back_and_never_to_a_rolled_back_version(registry, log, three):
    first, second, third = three
    roll_back_here(registry, log)
    assert roll_back_here(registry, log).version == first
    assert registry.state()["aliases"] == {"production": first}
    assert marks(registry).keys() == {second, third}
    with pytest.raises(UsageError, match="no previous version: name the target with --to"):
        roll_back_here(registry, log)


def test_a_rollback_to_a_rolled_back_version_removes_its_tag(registry, log, three):
    _, second, third = three
    roll_back_here(registry, log)
    roll_back_here(registry, log, third, reason="it was right after all")
    assert registry.state()["stages"][third] == "Production"
    assert marks(registry) == {second: "it was right after all"}


def test_the_next_rollback_skips_rolled_back_versions(registry, log, three):
    first, _, third = three
    roll_back_here(registry, log)
    roll_back_here(registry, log, third)
    assert registry.state()["aliases"] == {"production": third, "previous": first}
    assert roll_back_here(registry, log).version == first


def test_a_version_that_a_named_rollback_skipped_is_not_the_next_target(registry, log, three):
    """A person who rolls back to the first version has a reason not to trust the second."""
    first, second, _ = three
    roll_back_here(registry, log, first)
    assert "previous" not in registry.state()["aliases"]
    with pytest.raises(UsageError, match="name the target with --to"):
        roll_back_here(registry, log)
    assert roll_back_here(registry, log, second).version == second


def test_the_audit_log_records_actor_versions_and_reason_of_a_rollback(registry, log, three):
    _, second, third = three
    done = roll_back_here(registry, log)
    entry = log.find_one({"_id": done.audit_id})
    assert (entry["kind"], entry["state"], entry["at"]) == ("rolled_back", "done", NOW)
    assert (entry["actor"], entry["reason"]) == ("a person", REASON)
    assert (entry["from_version"], entry["version"]) == (third, second)
    assert entry["transitions"] == [
        {"version": second, "to_stage": "Production"},
        {"version": third, "from_stage": "Production", "to_stage": "Archived"},
    ]


def test_a_rollback_to_the_current_version_moves_and_logs_nothing(registry, log, three):
    before, entries = registry.state(), log.count_documents({})
    done = roll_back_here(registry, log, three[-1])
    assert (done.version, done.from_version, done.audit_id) == (three[-1], None, None)
    assert (registry.state(), log.count_documents({})) == (before, entries)
    assert marks(registry) == {}


def test_a_rollback_to_the_current_version_corrects_a_moved_alias_and_tags_nothing(registry, log, three):
    registry.client().set_registered_model_alias(MODEL, "production", three[0])
    done = roll_back_here(registry, log, three[-1])
    assert (done.version, done.from_version) == (three[-1], None)
    assert registry_faults(registry.client(), MODEL, three[-1]) == []
    assert marks(registry) == {}


def test_a_named_version_can_be_restored_if_no_version_is_in_production(registry, log):
    version = registry.add(WEEK_END, stage="Archived")
    done = roll_back_here(registry, log, version)
    assert (done.version, done.from_version) == (version, None)
    assert registry.state()["stages"] == {version: "Production"}
    assert registry_faults(registry.client(), MODEL, version) == []


def test_a_version_from_elsewhere_can_be_the_target(registry, log):
    old, new = registry.add(None, stage="Production"), registry.add(WEEK_END)
    promote_here(registry, log, new, WEEK_END)
    assert roll_back_here(registry, log).version == old
    assert registry.state()["aliases"] == {"production": old}


@pytest.mark.parametrize("state", ["rolled back", "without files", "moved to Staging"])
def test_a_version_that_cannot_serve_does_not_get_the_alias_previous(registry, log, three, state):
    first = three[0]
    client = registry.client()
    if state == "moved to Staging":
        client.transition_model_version_stage(MODEL, first, "Staging")
    else:
        tag = ROLLED_BACK_TAG if state == "rolled back" else FILES_DELETED_TAG
        client.set_model_version_tag(MODEL, first, tag, "once")
    roll_back_here(registry, log)
    assert "previous" not in registry.state()["aliases"]


@pytest.mark.parametrize("written", ["0{}", " {} ", "+{}"])
def test_an_unusual_spelling_of_a_number_means_the_version_with_that_number(registry, log, three, written):
    """MLflow reads all of these as the number, so they must not count as other versions."""
    first = three[0]
    assert roll_back_here(registry, log, written.format(first)).version == first
    assert registry_faults(registry.client(), MODEL, first) == []


@pytest.mark.parametrize(
    ("to", "message"),
    [("99", "has no version '99'"), ("newest", "has no version 'newest'"), ("", "has no version ''")],
)
def test_an_unknown_version_is_an_error_that_says_which_there_are(registry, log, three, to, message):
    before, entries = registry.state(), log.count_documents({})
    with pytest.raises(UsageError, match=message) as error:
        roll_back_here(registry, log, to)
    assert str(error.value).endswith(": it has 3, 2, 1")
    assert (registry.state(), log.count_documents({})) == (before, entries)


def test_a_model_that_does_not_exist_has_no_previous_version(registry, log):
    with pytest.raises(UsageError, match=f"{MODEL} has no previous version"):
        roll_back_here(registry, log)
    assert log.count_documents({}) == 0


@pytest.mark.parametrize("when", ["begun", NOW.isoformat()])
@pytest.mark.parametrize("named", [True, False])
def test_a_version_without_files_is_refused(registry, log, three, when, named):
    second = three[1]
    registry.client().set_model_version_tag(MODEL, second, FILES_DELETED_TAG, when)
    before, entries = registry.state(), log.count_documents({})
    with pytest.raises(UsageError, match=f"version {second} cannot serve: its files were deleted"):
        roll_back_here(registry, log, second if named else None)
    assert (registry.state(), log.count_documents({})) == (before, entries)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_rollback_without_a_reason_is_refused(registry, log, three, reason):
    before = registry.state()
    with pytest.raises(UsageError, match="needs a reason"):
        roll_back_here(registry, log, reason=reason)
    assert registry.state() == before


def test_a_rollback_of_a_version_that_is_no_longer_in_production_is_refused(registry, log, three):
    """A failed rollout may only roll back its own version."""
    _, second, third = three
    before, entries = registry.state(), log.count_documents({})
    with pytest.raises(
        RegistryError, match=f"version {second} should leave Production, but version {third} is in Production"
    ):
        roll_back_here(registry, log, from_version=second)
    assert (registry.state(), log.count_documents({})) == (before, entries)
    assert roll_back_here(registry, log, from_version=third).from_version == third


def test_a_rollback_is_not_repeated_until_the_specialist_was_restarted_for_it(registry, log, three):
    first, second, third = three
    done = [roll_back_here(registry, log, restarts=True) for _ in range(2)]
    assert [(each.version, each.from_version) for each in done] == [(second, third)] * 2
    record_restart(log, MODEL, second)
    assert roll_back_here(registry, log, restarts=True).version == first


def test_a_named_target_and_a_later_move_do_not_wait_for_a_restart(registry, log, three):
    first = three[0]
    roll_back_here(registry, log, restarts=True)
    assert roll_back_here(registry, log, first, restarts=True).version == first
    newer = registry.add(LATER)
    promote_here(registry, log, newer, LATER)
    assert roll_back_here(registry, log).version == first


def test_two_versions_in_production_are_an_error_that_names_them_and_releases_the_lock(registry, log):
    first, second = registry.add(EARLIER, stage="Production"), registry.add(EARLIER, stage="Production")
    with pytest.raises(RegistryError, match=f"{second}, {first}"):
        roll_back_here(registry, log, first)
    assert log.count_documents({}) == 0


def test_a_rollback_cannot_promote_a_candidate_that_was_never_in_production(registry, log, three):
    held = registry.add(WEEK_END)
    before = registry.state()
    with pytest.raises(UsageError, match="was never in Production"):
        roll_back_here(registry, log, held)
    assert registry.state() == before
