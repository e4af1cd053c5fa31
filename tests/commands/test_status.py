"""`nhm status`: services, missing indexes."""

from tests.support.nhm import nhm


def test_status_names_a_service_that_does_not_answer_and_exits_with_1(home):
    done = nhm("status", nhm_home=home, mongodb_uri="mongodb://127.0.0.1:9", mongodb_timeout_s=1)
    assert done.returncode == 1
    assert "FAULT" in done.stdout
    assert "MongoDB at mongodb://127.0.0.1:9" in done.stdout


def test_status_says_how_to_create_missing_indexes(home, mongod_uri, database):
    done = nhm("status", nhm_home=home, mongodb_uri=mongod_uri, mongodb_database=database.name)
    assert "createIndex({specialist_type: 1, submitted_at: 1})" in done.stdout
