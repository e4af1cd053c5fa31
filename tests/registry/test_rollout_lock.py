"""Only one specialist restarts at a time: the lock, and its document in the audit log."""

import os
import signal
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.domain.errors import RolloutFailed, RolloutRefused
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.rollout_lock import LOCK, newest_rollouts, rollout_lock
from nhm_assets.rollout.target import Target
from nhm_assets.settings import Settings
from tests.support.configured import configured
from tests.support.documents import NOW
from tests.support.processes import talkers

ASKED_NOT_HERE: Any = None
FIELDS = {"specialist": "technical", "version": "6", "dagster_run_id": "run-1"}
OWNER = """
import sys
from pymongo import MongoClient
from nhm_assets.registry.rollout_lock import rollout_lock
from tests.support.documents import NOW
with MongoClient(sys.argv[1], tz_aware=True) as client:
    audit_log = client[sys.argv[2]]["model_audit_log"]
    with rollout_lock(audit_log, {"specialist": "business"}, now=NOW, wait_s=0, lease_s=1) as (assert_lock, _):
        print("locked", flush=True)
        sys.stdin.readline()
        assert_lock()
"""


def test_a_rollout_leaves_its_outcome_in_the_audit_log(database: Database[dict[str, Any]]):
    audit_log = database["model_audit_log"]
    with rollout_lock(audit_log, FIELDS, now=NOW, wait_s=0) as (assert_lock, outcome):
        assert_lock()
        outcome.update(result="rolled out")
    entry = audit_log.find_one()
    assert (entry["kind"], entry["state"], entry["result"]) == ("rollout", "done", "rolled out")
    assert FIELDS.items() <= entry.items()
    assert entry["seconds"] >= 0


def test_a_rollout_that_raises_records_the_error_and_releases_the_lock(database: Database[dict[str, Any]]):
    audit_log = database["model_audit_log"]
    with pytest.raises(RolloutFailed), rollout_lock(audit_log, FIELDS, now=NOW, wait_s=0):
        raise RolloutFailed("the pods do not start")
    entry = audit_log.find_one()
    assert (entry["state"], entry["result"], entry["reason"]) == ("failed", "failed", "the pods do not start")
    with rollout_lock(audit_log, FIELDS, now=NOW, wait_s=0):
        pass


def test_a_second_rollout_is_refused_and_the_error_names_the_first_one(database: Database[dict[str, Any]]):
    audit_log = database["model_audit_log"]
    with (
        rollout_lock(audit_log, FIELDS, now=NOW, wait_s=0),
        pytest.raises(RolloutRefused, match=r"technical.*run-1.*only one restarts at a time"),
        rollout_lock(audit_log, {"specialist": "business"}, now=NOW, wait_s=0.1),
    ):
        pass
    assert audit_log.count_documents({"specialist": "business"}) == 0


def test_the_lock_of_a_killed_process_is_taken_over(database: Database[dict[str, Any]], mongod_uri: str):
    audit_log = database["model_audit_log"]
    with talkers(1, OWNER, mongod_uri, database.name) as (owner,):
        assert owner.hear() == "locked"
        owner.end()
        with rollout_lock(audit_log, FIELDS, now=NOW, wait_s=90):
            assert audit_log.find_one({"specialist": "business"})["state"] == "interrupted"


def test_a_process_that_was_suspended_must_not_restart_anything_afterwards(
    database: Database[dict[str, Any]], mongod_uri: str
):
    with talkers(1, OWNER, mongod_uri, database.name) as (owner,):
        assert owner.hear() == "locked"
        os.kill(owner.process.pid, signal.SIGSTOP)
        with rollout_lock(database["model_audit_log"], FIELDS, now=NOW, wait_s=90):
            owner.go_on()
            os.kill(owner.process.pid, signal.SIGCONT)
            assert owner.process.wait(timeout=90) == 1
        assert database["model_audit_log"].count_documents({"model": LOCK, "state": "done"}) == 1


def slot(specialist: str) -> dict[str, str]:
    return {"specialist": specialist, "registered_model": f"{specialist}-evaluator", "version": "1"}


def test_of_fifty_specialists_49_are_done_while_one_is_slow(database: Database[dict[str, Any]]):
    """With the default settings, whose slots a rollout takes."""
    audit_log = database["model_audit_log"]
    with configured(*(Specialist(f"s{number}") for number in range(49)), Specialist("slow")):
        slots = Target.of(Settings(), "slow", ASKED_NOT_HERE).parallel
    slotted = {"now": NOW, "wait_s": 0, "parallel": slots}
    with rollout_lock(audit_log, slot("slow"), **slotted):
        for number in range(49):
            with rollout_lock(audit_log, slot(f"s{number}"), **slotted) as (assert_lock, outcome):
                assert_lock()
                outcome.update(result="rolled out")
        done = newest_rollouts(audit_log, 100)
        assert {entry["specialist"] for entry in done} == {f"s{number}" for number in range(49)}
    assert newest_rollouts(audit_log, 1)[0]["specialist"] == "slow"
    assert audit_log.count_documents({"kind": "rollout_turn"}) == 0


def test_a_third_rollout_waits_for_one_of_two_slots(database: Database[dict[str, Any]]):
    audit_log = database["model_audit_log"]
    two = {"now": NOW, "wait_s": 0, "parallel": 2}
    with (
        rollout_lock(audit_log, slot("a"), **two),
        rollout_lock(audit_log, slot("b"), **two),
        pytest.raises(RolloutRefused, match="only 2 restart at a time"),
        rollout_lock(audit_log, slot("c"), **two),
    ):
        pass


def test_one_specialist_never_has_two_rollouts_at_once_whatever_the_number_of_slots(database: Database[dict[str, Any]]):
    audit_log = database["model_audit_log"]
    many = {"now": NOW, "wait_s": 0, "parallel": 10}
    with (
        rollout_lock(audit_log, slot("a"), **many),
        pytest.raises(RolloutRefused),
        rollout_lock(audit_log, slot("a"), **many),
    ):
        pass
    with rollout_lock(audit_log, slot("a"), **many):
        pass
