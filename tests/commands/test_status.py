"""`nhm status`: services, missing indexes."""

import shutil

import pytest

from tests.support.documents import feedback, opinion, put
from tests.support.nhm import nhm
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


@pytest.mark.servers
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


def test_status_says_that_the_database_of_dagster_answers(home, mongod_uri, database):
    done = nhm("status", nhm_home=home, mongodb_uri=mongod_uri, mongodb_database=database.name)
    assert "Dagster  ok" in done.stdout
    assert done.returncode == 0
