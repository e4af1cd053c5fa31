"""The intent in the audit log, which is also the lock of a model."""

import pytest

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.registry.promotion_lock import hold_lock
from resources.errors import LockLost
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import let_leases_run_out, promote_here
from tests.support.registry import MODEL

LEASE_S = 2.0


def test_a_living_promotion_is_waited_for_and_not_taken_over(registry, log):
    """It renews its lease for as long as it works, so that it may take longer than one."""
    version = registry.add(WEEK_END)
    with (
        hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=LEASE_S) as held,
        pytest.raises(RegistryError, match="under way"),
    ):
        promote_here(registry, log, version, WEEK_END, wait_s=1.5 * LEASE_S, lease_s=LEASE_S)
    held.discard()
    assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED


def test_a_dead_one_is_taken_over_by_who_waits_for_it(registry, log):
    """It was decided, and nothing was noted of what it would do, so nothing was done."""
    version = registry.add(WEEK_END)
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1) as dead:
        pass
    assert let_leases_run_out(log) == 1
    assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED
    assert log.find_one({"_id": dead.id})["state"] == "abandoned"


def test_another_model_is_promoted_meanwhile(registry, log):
    version = registry.add(WEEK_END)
    with hold_lock(log, "business-evaluator", {"at": NOW}, recover=pytest.fail, wait_s=1) as held:
        assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED
        held.discard()


def test_an_owner_whose_lease_ran_out_may_no_longer_write(log):
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=LEASE_S) as held:
        held.assert_lease()
        log.update_one({"_id": held.id}, {"$set": {"owner": "somebody else"}})
        held._valid_until = 0
        with pytest.raises(LockLost, match="lost the lock"):
            held.assert_lease()


def test_who_was_taken_over_changes_the_document_no_more(log):
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1) as held:
        log.update_one({"_id": held.id}, {"$set": {"owner": "somebody else"}})
        before = log.find_one({"_id": held.id})
        held.update(version="9")
        held.close("done")
        held.discard()
        assert log.find_one({"_id": held.id}) == before


def test_values_with_dollar_signs_are_kept_as_they_are(log):
    with hold_lock(log, MODEL, {"reason": "$kind of odd"}, recover=pytest.fail, wait_s=1) as held:
        assert log.find_one({"_id": held.id})["reason"] == "$kind of odd"
