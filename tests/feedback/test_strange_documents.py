"""Whatever a document holds, it ends in exactly one place, and it never stops the others.

Documents are made from a seed, so a failure names the seed that repeats it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from bson import encode
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from nhm_assets.demo.load import make_indexes
from nhm_assets.domain.dataset_schema import QUARANTINE, SCRIPTED
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.provenance import provenance_of
from nhm_assets.domain.times import parse_time
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, read_window
from nhm_assets.feedback.quarantine import content_digest, replace_quarantine
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.rules import parse_rating, parse_recommendation
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.settings import Settings
from tests.support.documents import NOW, WEEK, WEEK_END, Document, feedback, opinion, plan, task
from tests.support.strange_values import Strange, as_stored
from tests.support.windows import ALL, NAMES, STORED

PARTITION = Partition.parse(WEEK, "technical")
WINDOW = PARTITION.window(days=30, now=NOW)
MIN_RATING = 0.3
SELECTION = replace(ALL, min_rating=MIN_RATING)
PER_SEED = 500
IGNORING_CASE = {"locale": "en", "strength": 2}


def documents_of(strange: Strange) -> dict[str, list[Document]]:
    """Feedback, opinions, plans and features of one seed. A third of each is as it should be."""
    rng = strange.rng
    half = PER_SEED // 2
    reviews = []
    for number in range(PER_SEED):
        at = WEEK_END - timedelta(days=rng.choice([1, 1, 2, 10, 29, 31, 400]), seconds=rng.randrange(9))
        good = feedback(
            rng.randrange(half),
            _id=number,
            feedback_id=f"feedback-{number % 400}",
            submitted_at=at if rng.random() < 0.7 else at.isoformat(),
            human_rating=rng.choice([0.1, 0.5, 1]),
            auto_generated=number % 9 == 0,
        )
        reviews.append(strange.spoiled(good, faults=rng.choice([0, 1, 1, 2, 5])))
        if reviews and rng.random() < 0.1:
            reviews[-1] = dict(rng.choice(reviews))
        reviews[-1]["_id"] = strange.value() if rng.random() < 0.05 else number
    plans = [plan(f"plan-{n}", [task("a"), task("b", dependencies=["a"])], comment="free text") for n in range(half)]
    opinions = [opinion(n, _id=n, cognitive_plan=plans[n] if n % 3 else None, created_at=NOW) for n in range(half)]
    ledger = [{"_id": n, "plan_id": f"plan-{n}", "plan_data": plans[n]} for n in range(half)]
    stored = [
        {"_id": n, "plan_id": f"plan-{n}", "features": {"aggregated_features": STORED}} for n in range(0, half, 5)
    ]
    others = {NAMES.opinions: opinions, NAMES.plans: ledger, NAMES.features: stored}
    return {NAMES.feedback: reviews} | {
        name: [strange.spoiled(one, faults=rng.choice([0, 0, 1, 3])) for one in documents]
        for name, documents in others.items()
    }


@contextmanager
def strange_database(database: Database[Document], seed: int) -> Iterator[None]:
    """The database filled from this seed; every third time in collections that ignore case."""
    documents = documents_of(Strange(seed))
    if seed % 3 == 0:
        for name in documents:
            database.create_collection(name, collation=IGNORING_CASE)
    make_indexes(database, Settings())
    ensure_index(database[NAMES.features])
    for name, some in documents.items():
        # MongoDB takes not every value as an `_id` or into an index, and some ids occur twice.
        with suppress(BulkWriteError):
            database[name].insert_many([as_stored(one) for one in some], ordered=False)
        assert database[name].count_documents({}) > len(some) * 0.8
    yield
    for name in (*documents, QUARANTINE):
        database.drop_collection(name)


def place_of(document: Document, read: WindowRead, rows: dict[str, Any], seen: set[str]) -> list[str]:
    """Every place in which the document is. There should be one."""
    specialist = document.get("specialist_type")
    if type(specialist) is not str or specialist != "technical":
        return ["another specialist's"]
    if document.get("submitted_at") is None:
        return ["undated"]
    time = parse_time(document["submitted_at"])
    is_far = isinstance(document["submitted_at"], DatetimeMS)
    if is_far or (time is not None and not WINDOW.start <= time < WINDOW.end):
        return ["outside the window"]
    if time is not None and provenance_of(document, SELECTION.scripted_prefixes) == SCRIPTED:
        return ["scripted"]
    digest = content_digest(document)
    if digest in seen:
        return ["equal copy"]
    seen.add(digest)
    places = []
    if digest in {entry["digest"] for entry in read.quarantine}:
        places.append("quarantine")
    opinion_id = document.get("opinion_id")
    row = rows.get(opinion_id) if type(opinion_id) is str else None
    rating, label = (
        parse_rating(document.get("human_rating")),
        parse_recommendation(document.get("human_recommendation")),
    )
    if not places and rating is not None and rating < MIN_RATING:
        places.append("filtered")
    if not places and row is not None:
        assert None not in (label, rating, time), f"rejected, but not kept: {document}"
        own = (time, document["feedback_id"], label, rating)
        chosen = (row["submitted_at"], row["feedback_id"], row["label"], row["human_rating"])
        assert own <= chosen, (own, chosen)
        # Two documents that differ only in what no column shows are one row.
        places.append("row" if own == chosen else "older mate")
    return places


def check(database: Database[Document], seed: int) -> Counter[str]:
    def read(session: Any = None) -> WindowRead:
        return read_window(Reader(database, NAMES, "technical", session), WINDOW, SELECTION)

    def store(result: WindowRead) -> list[str]:
        kept = replace_quarantine(database[QUARANTINE], result.quarantine, partition=PARTITION, run_id="run", now=NOW)
        return [one["digest"] for one in kept]

    with database.client.start_session(snapshot=True) as session:
        result = read(session)
    rows = {row["opinion_id"]: row for row in result.rows.to_dict("records")}
    places: Counter[str] = Counter()
    seen: set[str] = set()
    for document in database[NAMES.feedback].find().sort("$natural"):
        found = place_of(document, result, rows, seen)
        assert len(found) == 1, f"seed {seed}: {found or 'nowhere'}: {document}"
        places[found[0]] += 1
    assert places["undated"] == result.undated
    assert places["scripted"] == result.scripted
    assert places["quarantine"] == len(result.quarantine)
    assert places["row"] >= len(result.rows) > 0
    frame = assemble(result, PARTITION, WINDOW, min_samples=0, synthetic_fallback=False)
    assert len(frame) == len(result.rows)
    write_back(database[NAMES.features], result.computed, NOW)
    digests = [entry["digest"] for entry in result.quarantine]
    assert store(result) == digests
    again = read()
    pd.testing.assert_frame_equal(again.rows, result.rows)
    assert store(again) == digests
    # Anybody can read the quarantine: all text in it is UTF-8.
    with MongoClient(*database.client.address, datetime_conversion="DATETIME_AUTO") as strict:
        kept = {one["_id"]: one for one in strict[database.name][QUARANTINE].find()}
    assert len(kept) == len(result.quarantine)
    assert max(len(encode(one)) for one in kept.values()) < 100_000
    return places


def checked(database: Database[Document], seeds: range) -> Counter[str]:
    places: Counter[str] = Counter()
    for seed in seeds:
        with strange_database(database, seed):
            places += check(database, seed)
    return places


ALL_PLACES = {
    "row",
    "equal copy",
    "older mate",
    "filtered",
    "scripted",
    "quarantine",
    "outside the window",
    "undated",
    "another specialist's",
}


@pytest.mark.servers
def test_two_thousand_strange_documents_each_end_in_one_place(database: Database):
    assert set(checked(database, range(4))) == ALL_PLACES


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_fifty_thousand_strange_documents_each_end_in_one_place(database: Database):
    places = checked(database, range(100, 200))
    assert set(places) == ALL_PLACES
    assert sum(places.values()) > 45_000
