"""The lock of a model: who may hold it, for how long, and who takes it over."""

import time
from datetime import datetime, timedelta

import pytest

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.registry import promotion_lock
from nhm_assets.registry.promotion_lock import hold_lock
from resources.errors import LockLost
from tests.support.documents import NOW, WEEK_END
from tests.support.processes import eventually
from tests.support.promotions import let_leases_run_out, promote_here
from tests.support.registry import MODEL

LONG_S, SHORT_S = 600.0, 1.0
"""Leases: one that does not run out within a test, and one that a test waits for."""


def test_a_running_promotion_is_not_taken_over(registry, log, monkeypatch):
    """It renews its lease while it works, so it may take longer than one lease."""
    monkeypatch.setattr(promotion_lock, "_RENEWALS_PER_LEASE", LONG_S / 0.5)
    version = registry.add(WEEK_END)
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=LONG_S) as held:

        def lease_until() -> datetime:
            return log.find_one({"_id": held.id})["lease_until"]

        first = lease_until()
        assert eventually(lambda: lease_until() > first + timedelta(seconds=1))
        with pytest.raises(RegistryError, match="has been running since"):
            promote_here(registry, log, version, WEEK_END, wait_s=1)
    held.discard()
    assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED


def test_the_lock_of_a_dead_process_is_taken_over(registry, log):
    """Its document records no moves, so nothing was moved."""
    version = registry.add(WEEK_END)
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1) as dead:
        pass
    assert let_leases_run_out(log) == 1
    assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED
    assert log.find_one({"_id": dead.id})["state"] == "abandoned"


def test_the_lock_of_one_model_does_not_block_another(registry, log):
    version = registry.add(WEEK_END)
    with hold_lock(log, "business-evaluator", {"at": NOW}, recover=pytest.fail, wait_s=1) as held:
        assert promote_here(registry, log, version, WEEK_END).outcome is Outcome.PROMOTED
        held.discard()


def test_an_owner_with_an_expired_lease_may_not_write(log):
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=LONG_S) as held:
        held.assert_lease()
        log.update_one({"_id": held.id}, {"$set": {"owner": "somebody else"}})
        held._valid_until = 0
        with pytest.raises(LockLost, match="lost the lock"):
            held.assert_lease()


def test_a_former_owner_cannot_change_the_document(log):
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1) as held:
        log.update_one({"_id": held.id}, {"$set": {"owner": "somebody else"}})
        before = log.find_one({"_id": held.id})
        with pytest.raises(LockLost, match="lost the lock"):
            held.update(version="9")
        held.release("done")
        held.discard()
        assert log.find_one({"_id": held.id}) == before


def test_values_with_dollar_signs_are_stored_unchanged(log):
    with hold_lock(log, MODEL, {"reason": "$kind of odd"}, recover=pytest.fail, wait_s=1) as held:
        assert log.find_one({"_id": held.id})["reason"] == "$kind of odd"


@pytest.fixture
def never_renewed(monkeypatch):
    """Leases end before their first renewal."""
    monkeypatch.setattr(promotion_lock, "_RENEWALS_PER_LEASE", SHORT_S / LONG_S)


def test_a_slow_answer_of_mongodb_does_not_extend_the_lease(log, never_renewed):
    """The lease begins on the server while the owner still waits for the answer, so the owner counts from before."""
    slow = SlowLog(log, delay_s=1.5 * SHORT_S)
    with hold_lock(slow, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=SHORT_S) as held:
        with pytest.raises(LockLost, match="lost the lock"):
            held.assert_lease()
        held.discard()


def test_a_slow_take_over_does_not_extend_the_lease(log, never_renewed):
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1):
        pass
    let_leases_run_out(log)
    lost = []

    def recover(lock):
        try:
            lock.assert_lease()
        except LockLost as error:
            lost.append(error)
        lock.release("abandoned")

    slow = SlowLog(log, delay_s=1.5 * SHORT_S)
    with hold_lock(slow, MODEL, {"at": NOW}, recover=recover, wait_s=1, lease_s=SHORT_S) as held:
        held.discard()
    assert len(lost) == 1


class SlowLog:
    """The audit log of a server whose answers to the writes that acquire a lock arrive late."""

    def __init__(self, log, delay_s):
        self._log = log
        self._delay_s = delay_s

    def __getattr__(self, name):
        return getattr(self._log, name)

    def update_one(self, *args, **kwargs):
        result = self._log.update_one(*args, **kwargs)
        if kwargs.get("upsert"):
            time.sleep(self._delay_s)
        return result

    def find_one_and_update(self, *args, **kwargs):
        result = self._log.find_one_and_update(*args, **kwargs)
        time.sleep(self._delay_s if result else 0)
        return result
