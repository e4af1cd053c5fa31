"""`nhm seed`: repeatable, rebased to the current time, and precise about invalid files."""

import gzip
from datetime import UTC, datetime, timedelta

import pytest

from nhm_assets.demo.documents import made_up_documents
from tests.support.nhm import nhm_here


def test_seeding_twice_duplicates_nothing(seeded, database, documents):
    counted = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert counted["specialist_feedback"] == 400
    assert nhm_here("seed", "--from", documents, **seeded).returncode == 0
    assert {name: database[name].count_documents({}) for name in counted} == counted


def test_the_newest_rebased_feedback_is_one_second_old(seeded, database, documents):
    now = "2026-06-01T12:00:00+00:00"
    assert nhm_here("seed", "--from", documents, "--rebase", nhm_now=now, **seeded).returncode == 0
    newest = database["specialist_feedback"].find_one(sort=[("submitted_at", -1)])["submitted_at"]
    assert newest.isoformat() == "2026-06-01T11:59:59+00:00"
    assert database["specialist_feedback"].count_documents({}) == 400


def test_an_invalid_line_is_named(seeded, documents):
    with gzip.open(documents / "feedback.jsonl.gz", "at", encoding="utf-8") as file:
        file.write("{not json\n")
    done = nhm_here("seed", "--from", documents, **seeded)
    assert done.returncode == 2
    assert "feedback.jsonl.gz, line 401" in done.stderr


@pytest.mark.servers
def test_added_feedback_is_new_and_valid_and_about_one_specialist(seeded, database):
    before = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    for _ in range(2):
        assert nhm_here("seed", "--add", "7", "--specialist", "business", **seeded).returncode == 0
    assert database["specialist_feedback"].count_documents({}) == before["specialist_feedback"] + 14
    added = list(database["specialist_feedback"].find({"submitted_by": {"$regex": "hive.example"}}))
    opinions = {opinion["opinion_id"]: opinion for opinion in database["specialist_opinions"].find()}
    assert {document["specialist_type"] for document in added} == {"business"}
    assert {opinions[document["opinion_id"]]["specialist_type"] for document in added} == {"business"}


def test_demo_documents_end_with_the_last_closed_week():
    end = datetime(2026, 11, 22, tzinfo=UTC)
    feedback = list(made_up_documents(end, plans=40)["feedback"])
    times = [document["submitted_at"] for document in feedback if isinstance(document.get("submitted_at"), datetime)]
    assert end - timedelta(days=1) < max(times) < end


@pytest.mark.servers
def test_options_that_do_not_belong_together_are_refused(seeded, documents):
    for options in (["--add", "7"], ["--specialist", "business"], ["--from", documents, "--add", "7"]):
        done = nhm_here("seed", *options, **seeded)
        assert (done.returncode, "--add and --specialist belong together" in done.stderr) == (2, True)
    assert "unknown specialist 'busines'" in nhm_here("seed", "--add", "7", "--specialist", "busines", **seeded).stderr
