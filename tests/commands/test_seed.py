"""`nhm seed`: repeatable, rebased to the current time, and precise about invalid files."""

import gzip

from tests.support.nhm import nhm


def test_seeding_twice_duplicates_nothing(seeded, database, documents):
    counted = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert counted["specialist_feedback"] == 400
    assert nhm("seed", "--from", documents, **seeded).returncode == 0
    assert {name: database[name].count_documents({}) for name in counted} == counted


def test_the_newest_rebased_feedback_is_one_second_old(seeded, database, documents):
    now = "2026-06-01T12:00:00+00:00"
    assert nhm("seed", "--from", documents, "--rebase", nhm_now=now, **seeded).returncode == 0
    newest = database["specialist_feedback"].find_one(sort=[("submitted_at", -1)])["submitted_at"]
    assert newest.isoformat() == "2026-06-01T11:59:59+00:00"
    assert database["specialist_feedback"].count_documents({}) == 400


def test_an_invalid_line_is_named(seeded, documents):
    with gzip.open(documents / "feedback.jsonl.gz", "at", encoding="utf-8") as file:
        file.write("{not json\n")
    done = nhm("seed", "--from", documents, **seeded)
    assert done.returncode == 2
    assert "feedback.jsonl.gz, line 401" in done.stderr
