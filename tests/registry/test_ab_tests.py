"""The challenger of an A/B test is pinned, others wait, and nothing is promoted until it is over."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.outcomes import HeldAs, Outcome
from nhm_assets.registry.ab_tests import (
    AbRequest,
    newest_test,
    place_candidate,
    ran_between,
    running_test,
    start_test,
    stop_test,
    why_idle,
)
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, ROLLED_BACK_TAG
from nhm_assets.training.registration import stage_candidate
from resources.errors import LockLost
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import EARLIER, LATER, let_leases_run_out, promote_here
from tests.support.registry import MODEL, Registry, week_of
from tests.support.reports import trained_model

A_WEEK = timedelta(days=7)


def request(challenger: str, **changes: Any) -> AbRequest:
    fields = {
        "specialist": "technical",
        "model": MODEL,
        "challenger": challenger,
        "mode": "replay",
        "split": 0.9,
        "seed": "seed",
        "until": NOW + A_WEEK,
        "min_samples": 100,
        "fields": {"actor": "ada", "origin": "command", "dagster_run_id": "run-1"},
    }
    return AbRequest(**(fields | changes))


def start(registry: Registry, log: Any, challenger: str, *, now=NOW, **changes: Any):
    return start_test(registry.client(), log, request(challenger, **changes), now=now, wait_s=5)


def stop(registry: Registry, log: Any, *, now=NOW):
    return stop_test(
        registry.client(), log, MODEL, {"actor": "bob", "reason": "Version 3 is better."}, now=now, wait_s=5
    )


def trained(registry: Registry, log: Any, window_end, *, now=NOW) -> str:
    """A new candidate, placed and staged as the training does."""
    number = registry.unstaged(window_end)
    waiting = place_candidate(registry.client(), log, MODEL, number, now)
    model = trained_model(model=MODEL, version=number, window_end=window_end, week=week_of(window_end))
    stage_candidate(registry.client(), model, waiting, now=now)
    return number


class At:
    """A collection in which something happens after a call of one of its methods, once."""

    def __init__(self, log: Any, method: str, happens: Callable[[], Any], *, call: int = 1) -> None:
        self._log, self._method, self._happens, self._left = log, method, happens, call

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._log, name)
        if name != self._method:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                self._happens()
            return result

        return call


@pytest.fixture
def three(registry: Registry) -> Registry:
    """Version 1 in Production, 2 and 3 in Staging."""
    registry.add(EARLIER, stage="Production")
    registry.add(WEEK_END)
    registry.add(WEEK_END)
    return registry


def test_the_challenger_is_the_one_version_in_staging_and_the_log_records_the_test(three, log):
    test = start(three, log, "2")
    assert three.state()["stages"] == {"1": "Production", "2": "Staging", "3": "None"}
    assert (test.champion, test.challenger, test.until) == ("1", "2", NOW + A_WEEK)
    (entry,) = log.find()
    assert (entry["kind"], entry["specialist"], entry["version"], entry["actor"]) == (
        "ab_test",
        "technical",
        "2",
        "ada",
    )
    assert (
        entry["reason"]
        == "A/B test of version 2 against version 1 of technical-evaluator until 2026-03-27 12:00 UTC (replay)"
    )
    assert "timestamp" not in entry
    assert running_test(log, MODEL, NOW) == test


def test_a_later_candidate_waits_with_the_alias_and_is_told_so(three, log):
    start(three, log, "2")
    later = trained(three, log, LATER)
    state = three.state()
    assert state["stages"] == {"1": "Production", "2": "Staging", "3": "None", later: "None"}
    assert state["aliases"]["candidate"] == later
    for version, word in ((later, "waits for the end of the A/B test of version 2"), ("2", "is the challenger of")):
        decision = promote_here(three, log, version, LATER)
        assert (decision.outcome, decision.held_as) == (Outcome.HELD, HeldAs.UNCERTAIN)
        assert word in decision.reason
        assert "`nhm ab stop technical`" in decision.reason
    assert three.state() == state
    assert log.count_documents({"state": "open"}) == 0
    # An older week must not take the alias from one that waits.
    trained(three, log, WEEK_END)
    assert three.state()["aliases"]["candidate"] == later


def test_stopping_promotes_nothing_lets_those_that_wait_in_and_the_gate_promotes_again(three, log):
    start(three, log, "2")
    later = trained(three, log, LATER)
    ended = stop(three, log, now=NOW + timedelta(days=2))
    assert ended.over_at == NOW + timedelta(days=2)
    assert three.state()["stages"] == {"1": "Production", "2": "Staging", "3": "Staging", later: "Staging"}
    (entry,) = log.find({"kind": "ab_test_ended"})
    assert (entry["version"], entry["actor"], entry["reason"]) == ("2", "bob", "Version 3 is better.")
    assert stop(three, log, now=NOW + timedelta(days=3)).over_at == ended.over_at
    assert log.count_documents({"kind": "ab_test_ended"}) == 1
    assert promote_here(three, log, later, LATER).outcome is Outcome.PROMOTED


def test_a_test_whose_days_are_over_holds_nobody_and_the_next_candidate_lets_the_others_in(three, log):
    start(three, log, "2", until=NOW - timedelta(hours=1), now=NOW - A_WEEK)
    assert running_test(log, MODEL, NOW) is None
    assert three.state()["stages"]["3"] == "None"
    later = trained(three, log, LATER)
    assert three.state()["stages"] == {"1": "Production", "2": "Staging", "3": "Staging", later: "Staging"}
    assert promote_here(three, log, later, LATER).outcome is Outcome.PROMOTED


def test_the_same_request_again_finishes_what_was_interrupted_and_another_one_is_refused(three, log):
    test = start(three, log, "2")
    # The process died after it had recorded the test.
    three.client().transition_model_version_stage(MODEL, "3", "Staging")
    later = NOW + timedelta(hours=1)
    assert start(three, log, "2", now=later, until=later + A_WEEK) == test
    assert three.state()["stages"]["3"] == "None"
    with pytest.raises(
        UsageError, match=r"nothing was started: an A/B test of version 2 against version 1 .* runs already"
    ):
        start(three, log, "3")
    assert log.count_documents({"kind": "ab_test"}) == 1


@pytest.mark.parametrize("write", [3, 4])
def test_a_stop_that_died_between_its_writes_is_finished_by_the_next_one(three, log, write: int):
    def die() -> None:
        # The first writes are about the lock.
        raise ConnectionError

    start(three, log, "2")
    with pytest.raises(ConnectionError):
        stop(three, At(log, "update_one", die, call=write))
    stop(three, log, now=NOW + timedelta(hours=1))
    assert [entry["reason"] for entry in log.find({"kind": "ab_test_ended"})] == ["Version 3 is better."]
    assert running_test(log, MODEL, NOW) is None
    assert three.state()["stages"] == {"1": "Production", "2": "Staging", "3": "Staging"}


@pytest.mark.parametrize("change", [stop, lambda registry, log: start(registry, log, "3", now=NOW + A_WEEK)])
def test_who_has_lost_the_lock_changes_nothing(three, log, change):
    start(three, log, "2")
    before = three.state()
    with pytest.raises(LockLost):
        change(three, At(log, "find_one", lambda: log.update_one({"state": "open"}, {"$set": {"owner": "another"}})))
    assert three.state() == before
    assert running_test(log, MODEL, NOW) is not None
    assert log.count_documents({"kind": {"$in": ["ab_test", "ab_test_ended"]}}) == 1


def test_a_candidate_that_comes_while_a_test_starts_lets_nobody_in(three, log):
    trained(three, At(log, "find_one", lambda: start(three, log, "2")), LATER)
    assert three.state()["stages"]["3"] == "None"
    stop(three, log)
    assert three.state()["stages"]["3"] == "Staging"


def test_a_candidate_that_comes_while_a_test_ends_is_let_in_by_the_next_one(three, log):
    start(three, log, "2")
    later = trained(three, At(log, "find_one", lambda: stop(three, log)), LATER)
    trained(three, log, LATER)
    assert set(three.state()["stages"].values()) == {"Production", "Staging"}
    assert three.state()["stages"][later] == "Staging"


def test_a_start_that_died_under_the_lock_blocks_nobody(three, log):
    from nhm_assets.registry.promotion_lock import hold_lock

    with hold_lock(log, MODEL, {"kind": "change of an A/B test", "at": NOW}, recover=lambda _: None, wait_s=1):
        pass
    let_leases_run_out(log)
    start(three, log, "2")
    assert log.count_documents({"state": "open"}) == 0


@pytest.mark.parametrize(
    ("challenger", "said"),
    [
        ("1", "is in Production itself"),
        ("9", "has no version '9': it has "),
        ("2", "was rolled back"),
        ("3", "its files were deleted"),
        ("4", "is in stage Archived"),
    ],
)
def test_a_version_that_cannot_take_part_is_refused_and_nothing_moves(three, log, challenger: str, said: str):
    client = three.client()
    client.set_model_version_tag(MODEL, "2", ROLLED_BACK_TAG, "it was bad")
    client.set_model_version_tag(MODEL, "3", FILES_DELETED_TAG, "2026-03-01")
    three.add(EARLIER, stage="Archived")
    before = three.state()
    with pytest.raises(UsageError, match=said):
        start(three, log, challenger)
    assert (three.state(), log.count_documents({})) == (before, 0)


def test_without_a_champion_or_a_test_the_person_is_told(registry, log):
    registry.add(WEEK_END)
    with pytest.raises(UsageError, match="has no version in Production to compare with"):
        start(registry, log, "1")
    with pytest.raises(UsageError, match="has no A/B test"):
        stop(registry, log)


def test_a_test_that_can_compare_no_further_plans_says_why(three, log):
    client, test = three.client(), start(three, log, "3")
    assert why_idle(client, test) is None
    client.transition_model_version_stage(MODEL, "1", "Archived")
    assert why_idle(client, test) == "Version 1 is no longer in Production, so no further plans are compared"
    client.delete_model_version(MODEL, "3")
    assert why_idle(client, test) == "Version 3 was deleted in MLflow, so no further plans are compared"


def test_a_week_finds_the_test_that_ran_in_it_as_it_was_known_then(three, log):
    test = start(three, log, "2")
    stop(three, log, now=NOW + timedelta(days=3))
    day = timedelta(days=1)
    assert ran_between(log, MODEL, NOW - A_WEEK, NOW) is None
    assert ran_between(log, MODEL, NOW - day, NOW + day) == test
    assert ran_between(log, MODEL, NOW + day, NOW + A_WEEK).ended_at == NOW + 3 * day
    assert ran_between(log, MODEL, NOW + 3 * day, NOW + A_WEEK) is None
    assert newest_test(log, "business-evaluator") is None
