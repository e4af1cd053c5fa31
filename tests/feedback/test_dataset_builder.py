"""The dataset of one partition, from documents in a real MongoDB."""

import gc
import random

import pandas as pd
import pytest
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, data_version, schema_faults
from nhm_assets.feedback import dataset_builder
from nhm_assets.feedback.packed_texts import unpacked
from nhm_assets.feedback.rules import Feedback
from nhm_assets.feedback.stored_features import ensure_index, write_back
from tests.support.documents import (
    NOW,
    Document,
    feedback,
    opinion,
    put,
    reviewed_opinions,
)
from tests.support.windows import NAMES, STORED, assembled, read


def some(database: Database[Document], count: int) -> None:
    opinions, reviews = reviewed_opinions(count)
    put(database, opinions=opinions, feedback=reviews)


def kinds(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return frame.groupby(["source", "split"]).size().to_dict()


def test_no_synthetic_rows_are_added_to_enough_real_ones(database: Database):
    some(database, 20)
    frame = assembled(database, min_samples=20, fallback="yes")
    assert schema_faults(frame) == []
    assert kinds(frame) == {("real", "train"): 14, ("real", "validation"): 3, ("real", "test"): 3}
    assert frame.attrs["data_source"] == "real"


def test_synthetic_rows_fill_only_train_up_to_the_required_number(database: Database):
    some(database, 20)
    frame = assembled(database, min_samples=50, fallback="yes")
    assert schema_faults(frame) == []
    assert kinds(frame) == {
        ("real", "train"): 14,
        ("real", "validation"): 3,
        ("real", "test"): 3,
        ("synthetic", "train"): 30,
    }
    assert (frame.attrs["data_source"], frame.attrs["real_rows"], frame.attrs["synthetic_rows"]) == ("hybrid", 20, 30)


def test_a_single_real_row_keeps_synthetic_ones_out_of_test(database: Database):
    some(database, 1)
    assert kinds(assembled(database, min_samples=10, fallback="yes")) == {
        ("real", "test"): 1,
        ("synthetic", "train"): 9,
    }


def test_without_any_real_row_synthetic_ones_are_split_by_time(database: Database):
    frame = assembled(database, min_samples=20, fallback="yes")
    assert schema_faults(frame) == []
    assert kinds(frame) == {("synthetic", "train"): 14, ("synthetic", "validation"): 3, ("synthetic", "test"): 3}
    assert frame.attrs["data_source"] == "synthetic"


def test_what_was_read_is_freed_before_the_ids_of_the_rows_are_made(database: Database, monkeypatch):
    """An id that was read between documents keeps their memory: Python gives back only what is free as a whole."""

    def alive() -> int:
        return sum(type(one) is Feedback for one in gc.get_objects())

    seen, before = [], alive()

    def looked(texts: object) -> object:
        seen.append(alive() - before)
        return unpacked(texts)

    monkeypatch.setattr(dataset_builder, "unpacked", looked)
    some(database, 20)
    assert len(read(database).rows["opinion_id"].unique()) == 20
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("count", [0, 20])
def test_no_synthetic_rows_are_added_where_they_are_forbidden(database: Database, count: int):
    some(database, count)
    frame = assembled(database, min_samples=50)
    assert schema_faults(frame) == []
    assert len(frame) == count
    assert set(frame["source"]) <= {"real"}


def test_synthetic_rows_have_no_embedding_features(database: Database):
    frame = assembled(database, min_samples=5, fallback="yes")
    assert frame[list(EMBEDDING_FEATURES)].isna().all(axis=None)


def test_the_summary_counts_rows_and_rejected_documents(database: Database):
    put(
        database,
        opinions=[opinion(1), opinion(2)],
        feedback=[feedback(1), feedback(2), feedback(3), feedback(4, human_rating=2), feedback(5, submitted_at=None)],
        features=[{"plan_id": "plan-2", "features": STORED}],
    )
    assert assembled(database).attrs == {
        "window": ["2026-02-06T00:00:00+00:00", "2026-03-08T00:00:00+00:00"],
        "data_source": "real",
        "quarantined": {"invalid_rating": 1, "unknown_opinion": 1},
        "undated": 1,
        "scripted": 0,
        "told_by_scores": None,
        "real_rows": 2,
        "synthetic_rows": 0,
        "stored_features_rows": 1,
    }


def flawed_documents() -> dict[str, list[Document]]:
    """Second opinions of reviewers, copies, ties, times as strings, missing and shared plans."""
    opinions, reviews = reviewed_opinions(40)
    at = reviews[20]["submitted_at"]
    reviews += [
        {**reviews[0], "feedback_id": "second", "human_recommendation": "reject", "submitted_at": at},
        {**reviews[1], "human_recommendation": "reject", "human_rating": 0.4},
        {**reviews[1], "human_recommendation": "review_required", "human_rating": 0.3},
        dict(reviews[2]),
        {**reviews[3], "submitted_at": at.isoformat()},
        {**reviews[4], "submitted_at": at},
        {**reviews[5], "human_rating": True},
        feedback("lost"),
    ]
    for one in opinions[30:34]:
        one["plan_id"] = "shared"
    ledger = [{"plan_id": one["plan_id"], "plan_data": one.pop("cognitive_plan")} for one in opinions[10:15]]
    features = [{"plan_id": one["plan_id"], "features": STORED} for one in opinions[12:18]]
    return {"opinions": opinions, "feedback": reviews, "plans": ledger, "features": features}


def versions_of_shuffles(database: Database[Document], documents: dict[str, list[Document]]) -> set[str]:
    """The data versions that these documents give, inserted in several orders."""
    rng, versions = random.Random(11), set()
    for _ in range(4):
        for name in (NAMES.feedback, NAMES.opinions, NAMES.plans, NAMES.features):
            database[name].delete_many({})
        put(database, **{name: rng.sample(some, len(some)) for name, some in documents.items()})
        versions.add(data_version(assembled(database)))
    return versions


def test_the_order_of_insertion_changes_nothing(database: Database):
    documents = flawed_documents()
    assert len(versions_of_shuffles(database, documents)) == 1
    documents["feedback"][6]["human_rating"] = 0.123
    assert versions_of_shuffles(database, documents) != versions_of_shuffles(database, flawed_documents())


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param(
            {
                "opinions": [opinion(number) for number in range(8)],
                "feedback": [feedback(number, feedback_id="same") for number in range(8)],
            },
            id="one feedback id on several opinions at the same time",
        ),
        pytest.param(
            {
                "opinions": [opinion(1, plan_id=None)],
                "feedback": [feedback(1, plan_id=f"plan-{number}") for number in range(8)],
            },
            id="several plans named by feedback on an opinion that names none",
        ),
    ],
)
def test_the_order_of_insertion_does_not_decide_ties(database: Database, documents: dict[str, list[Document]]):
    assert len(versions_of_shuffles(database, documents)) == 1


def test_features_written_back_change_nothing_for_the_next_run(database: Database):
    put(database, **flawed_documents())
    ensure_index(database.plan_features)
    before, result = data_version(assembled(database)), read(database)
    assert write_back(database.plan_features, result.computed, NOW) == len(result.computed) > 20
    assert data_version(assembled(database)) == before
    assert write_back(database.plan_features, read(database).computed, NOW) == 0
