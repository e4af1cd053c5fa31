"""`nhm status`: services, missing indexes."""

import json
import os
import re
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from nhm_assets.cli import main
from nhm_assets.commands import dagster_facts, tables
from nhm_assets.commands.status_text import print_facts
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.instance.home import dagster_instance, prepare_home
from nhm_assets.monitoring.metric import Source
from nhm_assets.runs.forked_workers import SUPPORTED
from nhm_assets.settings import Settings
from resources.mlflow_server import MlflowServer
from tests.support.configured import configured
from tests.support.dagster_internals import DaemonHeartbeat, forget_entered_instance
from tests.support.documents import WEEK, feedback, opinion, put
from tests.support.nhm import environment, nhm
from tests.support.processes import ROOT


def test_status_names_a_service_that_does_not_answer_and_exits_with_1(home):
    done = nhm("status", nhm_home=home, mongodb_uri="mongodb://127.0.0.1:9", mongodb_timeout_s=1)
    assert done.returncode == 1
    assert "FAULT" in done.stdout
    assert "MongoDB at mongodb://127.0.0.1:9" in done.stdout
    assert "F1_THRESHOLD 0.72 decides nothing" in done.stdout


def test_status_says_how_to_create_missing_indexes(home, mongod_uri, database):
    done = nhm("status", nhm_home=home, mongodb_uri=mongod_uri, mongodb_database=database.name)
    assert "createIndex({specialist_type: 1, submitted_at: 1})" in done.stdout


@pytest.mark.servers
def test_status_works_where_collections_are_views_or_time_series(home, mongod_uri, database):
    """A view has no indexes; MongoDB refuses to list them."""
    put(database, feedback=[feedback(1)], opinions=[opinion(1)])
    database.create_collection("view_of_feedback", viewOn="specialist_feedback", pipeline=[])
    database.create_collection("view_of_view", viewOn="view_of_feedback", pipeline=[])
    database.create_collection("plans_by_time", timeseries={"timeField": "created_at"})
    done = nhm(
        "status",
        nhm_home=home,
        mongodb_uri=mongod_uri,
        mongodb_database=database.name,
        feedback_collection="view_of_view",
        plans_collection="plans_by_time",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "In production" in done.stdout
    assert "getCollection('plans_by_time').createIndex({plan_id: 1})" in done.stdout
    assert "submitted_at" not in done.stdout
    assert "Set FIRST_WEEK=2026-02-22." in done.stdout


@pytest.mark.skipif(not SUPPORTED, reason="processes are forked on Linux alone")
def test_the_death_of_the_process_that_asks_dagster_is_a_fault(home, monkeypatch):
    # Where Dagster is imported already, no process is forked.
    monkeypatch.delitem(sys.modules, "dagster")
    monkeypatch.setattr(dagster_facts, "_ask", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    with dagster_facts.dagster_meanwhile() as ask:
        said = ask(Settings(nhm_home=home))()
    assert said.fault is not None
    assert "was ended by signal 9" in said.fault


@pytest.mark.skipif(not SUPPORTED, reason="processes are forked on Linux alone")
def test_the_process_that_asks_dagster_knows_the_specialists_of_the_file(home, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "dagster")
    monkeypatch.setattr(dagster_facts, "_ask", lambda _: dagster_facts.DagsterFacts(", ".join(all_specialists())))
    (tmp_path / "specialists.yaml").write_text("- name: data-quality\n")
    monkeypatch.setenv("NHM_HOME", str(home))
    monkeypatch.setenv("SPECIALISTS_FILE", str(tmp_path / "specialists.yaml"))
    with dagster_facts.dagster_meanwhile() as ask, configured():
        said = ask(Settings.load())()
    assert said.fault == "data-quality"


def test_status_opens_each_service_once(home, mongod_uri, database, monkeypatch):
    """To open Dagster's instance takes a tenth of the time of the command, and it was opened four times."""
    opened: list[str] = []

    def counted(target: Any, name: str) -> None:
        function = getattr(target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            opened.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(target, name, call)

    counted(DagsterInstance, "get")
    counted(MlflowServer, "require_usable")
    settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    # The runner puts back only what it was given.
    done = CliRunner().invoke(main, ["status"], env=environment(**settings) | {"DAGSTER_HOME": str(home / "dagster")})
    forget_entered_instance()
    assert "In production" in done.output
    assert sorted(opened) == ["get", "require_usable"]


@pytest.mark.servers
@pytest.mark.slow
def test_status_asks_the_database_of_dagster_too(home, mongod_uri, database):
    """Of all services, only this one was not asked, and nothing is launched or recorded without it."""
    (home / "dagster").mkdir()
    shutil.copy(ROOT / "deploy" / "postgres" / "dagster.yaml", home / "dagster")
    settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    nowhere = {"dagster_pg_host": "127.0.0.1", "dagster_pg_port": 9, "dagster_pg_db": "dagster"}
    login = {"dagster_pg_username": "dagster", "dagster_pg_password": "s3cret-word"}
    done = nhm("status", **settings, **nowhere, **login)
    assert done.returncode == 1, done.stdout
    assert "Dagster  FAULT" in done.stdout
    assert "Connection refused" in done.stdout
    assert "check that it runs, the variables DAGSTER_PG_*" in done.stdout
    assert "MongoDB  ok" in done.stdout
    assert "s3cret-word" not in done.stdout + done.stderr


SETTLING = {"plans": 420, "approve": 180, "not_approve": 240, "passes": 0.75, "below": 0.07}


def decided(specialist: str, day: int, kind: str, **fields: object) -> dict[str, object]:
    """An entry of the audit log."""
    model = f"{specialist}-evaluator"
    moment = datetime(2026, 3, day, tzinfo=UTC)
    return {
        "specialist": specialist,
        "model": model,
        "kind": kind,
        "at": moment,
        "week": WEEK,
        "version": str(day),
        "reason": "held by recall_threshold",
    } | fields


@pytest.mark.servers
def test_status_shows_the_last_decision_about_each_specialist(home, mongod_uri, database):
    database["model_audit_log"].insert_many(
        [
            decided("technical", 1, "held", held_as="below"),
            decided("technical", 8, "held", held_as="uncertain", flip_rate=0.31, settling=SETTLING),
            decided("technical", 9, "unchanged", held_as="below"),
            decided("behavior", 1, "promoted"),
            decided("behavior", 8, "held", held_as="below", flip_rate=0.0),
            decided("behavior", 15, "held", held_as="below", flip_rate=0.005),
        ]
    )
    settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    done = nhm("status", **settings)
    assert "Dagster  ok" in done.stdout
    assert done.returncode == 3, "the version of behavior was archived by somebody else"
    rows = {line.split()[0]: " ".join(line.split()) for line in done.stdout.splitlines() if " held (" in line}
    assert rows == {
        "technical": f"technical {WEEK} 8 held (uncertain) 0.31 420 more reviewed plans (180 approve, 240 not)",
        "behavior": f"behavior {WEEK} 15 held (below the line) 2 0.01",
    }
    told = json.loads(nhm("status", "--json", **settings).stdout)
    assert [service["name"] for service in told["services"]] == ["MongoDB", "MLflow", "storage", "Dagster"]
    technical, behavior = told["decisions"]
    assert (technical["held_as"], technical["settling"], technical["below_in_a_row"]) == ("uncertain", SETTLING, 0)
    assert (behavior["outcome"], behavior["flip_rate"], behavior["below_in_a_row"]) == ("held", 0.005, 2)
    shown = told["production"][0]
    assert (shown["specialist"], shown["version"]) == ("technical", None)
    assert (shown["last_outcome"]["outcome"], shown["last_outcome"]["week"]) == ("unchanged", WEEK)
    assert shown["last_outcome"]["at"] == "2026-03-09T00:00:00+00:00"
    assert told["production"][1] == {"specialist": "business", "version": None}
    # The log says that version 1 of behavior was promoted, and nothing is in Production.
    assert [move["specialist"] for move in told["foreign_moves"]] == ["behavior"]
    assert told["settings"][0].startswith("F1_THRESHOLD 0.72 decides nothing")
    metrics = {(one["name"], one["labels"].get("specialist")): one["value"] for one in told["metrics"]}
    assert metrics["nhm_in_production", "technical"] == 0
    assert {one["labels"]["source"] for one in told["metrics"] if one["name"] == "nhm_up"} == {*Source} - {
        Source.SETTINGS,
        Source.EXPORTER,
    }


@pytest.mark.servers
def test_status_shows_the_ab_test_that_runs_and_holds_a_candidate(home, mongod_uri, database):
    waits = "version 8 waits for the end of the A/B test of version 7"
    tested = {"champion": "5", "mode": "replay", "split": 0.9, "seed": "s", "min_samples": 9}
    runs, over = ({"until": datetime(2026, 3, day, 9, tzinfo=UTC)} for day in (14, 9))
    database["model_audit_log"].insert_many(
        [
            decided("technical", 8, "held", held_as="uncertain", reason=waits),
            decided("technical", 7, "ab_test", **tested, **runs),
            decided("behavior", 7, "ab_test", **tested, **over),
        ]
    )
    settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    settings["nhm_now"] = "2026-03-10T00:00:00+00:00"
    shown = nhm("status", **settings).stdout
    sentence = "A/B test of version 7 against version 5 of technical-evaluator until 2026-03-14 09:00 UTC (replay)"
    assert f"\ntechnical: the {sentence} runs, and nothing is promoted. `nhm ab status technical` measures it" in shown
    assert shown.count("A/B test of version 7 against") == 1
    assert " held (an A/B test runs)" in shown
    told = json.loads(nhm("status", "--json", **settings).stdout)
    (test,) = told["ab_tests"]
    assert (test["specialist"], test["champion"], test["challenger"]) == ("technical", "5", "7")
    assert (test["until"], test["sentence"]) == ("2026-03-14T09:00:00+00:00", sentence)
    (decision,) = told["decisions"]
    assert (decision["held_as"], decision["how_held"]) == ("uncertain", "an A/B test runs")


def test_status_exits_with_3_and_names_the_section_of_the_runbook_where_a_person_must_act(home, mongod_uri, database):
    lock = {
        "model": "technical-evaluator",
        "state": "open",
        "kind": "promotion",
        "at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    database["model_audit_log"].insert_one(lock)
    runbook = "https://hive.example/runbook.md"
    settings = {"mongodb_uri": mongod_uri, "mongodb_database": database.name, "runbook_url": runbook}
    done = nhm("status", nhm_home=home, **settings)
    assert done.returncode == 3, done.stdout
    assert re.search(
        r"^technical: a promotion began \d+ minutes ago and has not ended. See .*#specialistpromotionopen$",
        done.stdout,
        re.MULTILINE,
    )


@pytest.mark.slow
def test_a_daemon_that_died_is_named_once_and_not_for_each_of_its_parts(home, mongod_uri, database):
    settings = Settings(nhm_home=home)
    prepare_home(settings)
    with dagster_instance(settings) as instance:
        for part in ("SENSOR", "SCHEDULER"):
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 3600, part, "an-id", []))
    status = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    done = nhm("status", **status)
    assert done.returncode == 3, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.endswith("#nhmdaemonstale"))
    assert line.startswith("daemon   no     last heartbeat")
    told = json.loads(nhm("status", "--json", **status).stdout)
    stale = {need["about"] for need in told["needs"] if need["alert"] == "NhmDaemonStale"}
    assert stale == {"SENSOR", "SCHEDULER"}


def test_storage_below_the_home_is_repaired_by_the_setting_of_the_home(home, mongod_uri):
    home.mkdir(exist_ok=True)
    (home / "storage").write_text("a file")
    shown = nhm("status", nhm_home=home, mongodb_uri=mongod_uri).stdout
    assert f"{home / 'storage'} cannot be written (a file is in the place of a folder): check NHM_HOME" in shown


@pytest.mark.parametrize(("width", "shown"), [(80, 80), (140, 94), (400, 300)])
def test_the_reason_of_a_run_fills_the_line(monkeypatch, capsys, width: int, shown: int):
    monkeypatch.setattr(tables, "table_width", lambda: width)
    run = {"at": "2026-03-08T02:00:00", "subject": f"technical {WEEK}", "ended": "broken", "reason": "why " * 75}
    print_facts({"runs": [run], "needs": [], "settings": []}, Settings())
    assert capsys.readouterr().out.count("why") * 4 in range(shown - 12, shown + 12)
