"""What `nhm status` says about the daemon, the last runs and the cluster."""

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from nhm_assets.commands.live import RUNS, cluster_facts, daemon_facts, run_facts
from nhm_assets.runs.tags import PROCESS_TAG
from nhm_assets.settings import Settings
from tests.support.dagster_internals import DaemonHeartbeat
from tests.support.documents import WEEK
from tests.support.ended_runs import PROMOTED
from tests.support.retrainings import end_run, put_run
from tests.support.sqlite_instances import pooled_instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with pooled_instance(tmp_path) as instance:
        yield instance


def beat(instance: DagsterInstance, age_s: float) -> None:
    heartbeat = DaemonHeartbeat(time.time() - age_s, "SENSOR", "an-id", [])
    instance.add_daemon_heartbeat(heartbeat)


def test_a_daemon_that_never_ran_and_one_that_died_are_told_from_one_that_works(instance: DagsterInstance):
    assert daemon_facts(instance, datetime.now(UTC))["sentence"] == "no daemon has run yet: nothing starts by itself"
    beat(instance, 3600)
    dead = daemon_facts(instance, datetime.now(UTC))
    assert (dead["works"], "nothing starts by itself" in dead["sentence"]) == (False, True)
    beat(instance, 10)
    alive = daemon_facts(instance, datetime.now(UTC))
    assert (alive["works"], "nothing starts by itself" in alive["sentence"]) == (True, False)


def test_the_last_runs_are_named_with_outcome_and_reason_and_not_those_before(instance: DagsterInstance):
    ended = [put_run(instance, status=DagsterRunStatus.STARTED, tags=PROMOTED) for _ in range(RUNS)]
    for run in ended:
        end_run(instance, run, DagsterEventType.RUN_SUCCESS)
    going = put_run(instance, status=DagsterRunStatus.STARTED)
    shown = run_facts(instance)
    assert [one["run"] for one in shown] == [going, *reversed(ended[1:])]
    assert [one["ended"] for one in shown] == ["started"] + ["promoted"] * (RUNS - 1)
    assert shown[1]["partition"] == f"technical|{WEEK}"
    assert shown[1]["reason"] == "every gate check passed"
    assert abs(datetime.fromisoformat(shown[0]["at"]) - datetime.now(UTC)) < timedelta(hours=1)


def test_a_run_that_is_no_retraining_is_named_by_its_job_and_whom_it_was_for(instance: DagsterInstance):
    nobody = {"dagster/partition": ""}
    put_run(instance, job="ab_test", tags={"dagster/partition": "technical"})
    put_run(instance, job="rollback_promotion", tags={**nobody, "nhm/specialist": "business"})
    put_run(instance, job="retention", tags=nobody)
    put_run(instance, job="served_quality_job")
    put_run(instance)
    week = f"technical {WEEK}"
    expected = [week, f"served_quality_job {week}", "retention", "rollback_promotion business", "ab_test technical"]
    assert [one["subject"] for one in run_facts(instance)] == expected


def test_a_run_whose_process_is_gone_and_one_that_nobody_has_reported_yet_say_so(instance: DagsterInstance):
    process = subprocess.Popen(["true"])
    process.wait()
    lost = {PROCESS_TAG: f"{socket.gethostname()}:{process.pid}"}
    put_run(instance, status=DagsterRunStatus.STARTED, tags=lost)
    put_run(instance, status=DagsterRunStatus.FAILURE)
    failed, gone = run_facts(instance)
    assert (gone["ended"], gone["reason"].partition(":")[0]) == ("started", "its process is gone")
    assert (failed["ended"], "Run `nhm retrain" in failed["reason"]) == ("broken", True)


def test_no_cluster_is_no_fact_and_one_that_does_not_answer_says_why(tmp_path: Path):
    assert cluster_facts(Settings()) is None
    gone = cluster_facts(Settings(kubeconfig=tmp_path / "gone", kubernetes_timeout_s=1))
    assert gone is not None
    assert gone["works"] is False
    assert "gone" in gone["sentence"]


def test_a_pod_without_a_token_has_no_cluster_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the pod of the exporter, where people run `nhm status`, every cluster would look broken."""
    in_a_pod = Settings(kubernetes_service_host="10.0.0.1", kubernetes_timeout_s=1)
    token = tmp_path / "token"
    monkeypatch.setattr("resources.kubernetes._TOKEN", token)
    assert cluster_facts(in_a_pod) is None
    token.touch()
    facts = cluster_facts(in_a_pod)
    assert facts is not None
    assert facts["works"] is False
