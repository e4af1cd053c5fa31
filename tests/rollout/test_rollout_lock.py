"""Never two specialists at once: the lock, and the entry in the audit log that it leaves behind."""

import os
import signal
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.domain.errors import RolloutFailed, RolloutRefused
from nhm_assets.rollout.rollout_lock import LOCK, turn
from tests.support.documents import NOW
from tests.support.processes import talkers

FIELDS = {"specialist": "technical", "version": "6", "dagster_run_id": "run-1"}
HOLDS = """
import sys
from pymongo import MongoClient
from nhm_assets.rollout.rollout_lock import turn
from tests.support.documents import NOW
with MongoClient(sys.argv[1], tz_aware=True) as client:
    log = client[sys.argv[2]]["model_audit_log"]
    with turn(log, {"specialist": "business"}, now=NOW, wait_s=0, lease_s=1):
        print("mine", flush=True)
        sys.stdin.readline()
"""


def test_a_turn_that_ends_leaves_what_came_of_it_in_the_audit_log(database: Database[dict[str, Any]]):
    log = database["model_audit_log"]
    with turn(log, FIELDS, now=NOW, wait_s=0) as mine:
        mine.require()
        mine.outcome = {"result": "rolled out"}
    entry = log.find_one()
    assert (entry["kind"], entry["state"], entry["result"]) == ("rollout", "done", "rolled out")
    assert FIELDS.items() <= entry.items()
    assert entry["seconds"] >= 0


def test_a_turn_that_breaks_says_by_what_and_leaves_nobody_waiting(database: Database[dict[str, Any]]):
    log = database["model_audit_log"]
    with pytest.raises(RolloutFailed), turn(log, FIELDS, now=NOW, wait_s=0):
        raise RolloutFailed("the pods do not start")
    entry = log.find_one()
    assert (entry["state"], entry["result"], entry["reason"]) == ("failed", "failed", "the pods do not start")
    with turn(log, FIELDS, now=NOW, wait_s=0):
        pass


def test_another_rollout_is_refused_in_words_that_name_the_one_under_way(database: Database[dict[str, Any]]):
    log = database["model_audit_log"]
    with (
        turn(log, FIELDS, now=NOW, wait_s=0),
        pytest.raises(RolloutRefused, match=r"technical.*run-1.*never two"),
        turn(log, {"specialist": "business"}, now=NOW, wait_s=0.1),
    ):
        pass
    assert log.count_documents({"specialist": "business"}) == 0


def test_the_turn_of_a_process_that_was_killed_passes_on(database: Database[dict[str, Any]], mongod_uri: str):
    log = database["model_audit_log"]
    with talkers(1, HOLDS, mongod_uri, database.name) as (other,):
        assert other.hear() == "mine"
        other.end()
        with turn(log, FIELDS, now=NOW, wait_s=20):
            assert log.find_one({"specialist": "business"})["state"] == "interrupted"


def test_a_process_that_stood_still_may_not_restart_anything_any_more(
    database: Database[dict[str, Any]], mongod_uri: str
):
    program = HOLDS.replace("sys.stdin.readline()", "sys.stdin.readline(); mine.require()").replace(
        "lease_s=1):", "lease_s=1) as mine:"
    )
    with talkers(1, program, mongod_uri, database.name) as (other,):
        assert other.hear() == "mine"
        os.kill(other.process.pid, signal.SIGSTOP)
        with turn(database["model_audit_log"], FIELDS, now=NOW, wait_s=20):
            other.go_on()
            os.kill(other.process.pid, signal.SIGCONT)
            assert other.process.wait(timeout=20) == 1
        assert database["model_audit_log"].count_documents({"model": LOCK, "state": "done"}) == 1
