"""From documents in a real MongoDB to the rows of one partition."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.database import Database

from nhm_assets.dataset import COMPUTED_FEATURES, EMBEDDING_FEATURES, FEATURE_NAMES, data_version, schema_faults
from nhm_assets.feedback.build import WindowRead, assemble, describe, read_window
from nhm_assets.feedback.collections import Names, Reader
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.partitions import Partition, Window
from tests.support.documents import (
    NOW,
    WEEK,
    WEEK_END,
    WINDOW_START,
    Document,
    feedback,
    opinion,
    plan,
    put,
    reviewed_opinions,
    task,
)

NAMES = Names("specialist_feedback", "specialist_opinions", "cognitive_ledger", "plan_features")
SECOND = timedelta(seconds=1)
STORED = {name: position + 0.5 for position, name in enumerate(FEATURE_NAMES)}


def read(database: Database[Document], *, specialist: str = "technical", min_rating: float = 0.0) -> WindowRead:
    window = Partition.parse(WEEK, specialist).window(days=30, now=NOW)
    return read_window(Reader(database, NAMES, specialist, None), window, min_rating=min_rating)


def rows(database: Database[Document], **how: Any) -> list[str]:
    """The feedback that became rows, in their order."""
    return read(database, **how).rows["feedback_id"].tolist()


def rejected(database: Database[Document], **how: Any) -> dict[str, str]:
    """Feedback id -> why it is in quarantine."""
    return {one["document"]["feedback_id"]: str(one["reason"]) for one in read(database, **how).quarantine}


def assembled(
    database: Database[Document], *, min_samples: int = 0, fallback: str = "no", specialist: str = "technical"
) -> pd.DataFrame:
    partition = Partition.parse(WEEK, specialist)
    window = partition.window(days=30, now=NOW)
    found = read(database, specialist=specialist)
    frame = assemble(found, partition, window, min_samples=min_samples, synthetic_fallback=fallback == "yes")
    frame.attrs = describe(frame, found, reason_counts(found.quarantine), window)
    return frame


def reviewed(database: Database[Document], *times: Any) -> None:
    """An opinion and its feedback for each of these times; their numbers are the positions."""
    numbers = range(len(times))
    put(
        database,
        opinions=[opinion(number) for number in numbers],
        feedback=[feedback(number, submitted_at=moment) for number, moment in zip(numbers, times, strict=True)],
    )


def with_plan(
    database: Database[Document],
    *,
    own: Any = None,
    ledger: Any = None,
    stored: Any = None,
    numbers: Sequence[int] = (1,),
) -> None:
    """Feedback on opinions whose plan lies in these places."""
    put(
        database,
        opinions=[opinion(number, cognitive_plan=own) for number in numbers],
        feedback=[feedback(number) for number in numbers],
        plans=[{"plan_id": f"plan-{number}", "plan_data": ledger} for number in numbers] if ledger else [],
        features=[{"plan_id": f"plan-{number}", "features": stored} for number in numbers] if stored else [],
    )


# --- time -----------------------------------------------------------------------------------------------


def test_the_window_holds_its_start_and_not_its_end(database: Database):
    reviewed(database, WINDOW_START - SECOND, WINDOW_START, WEEK_END - SECOND, WEEK_END)
    assert rows(database) == ["feedback-1", "feedback-2"]
    assert rejected(database) == {}


def test_strings_count_like_dates(database: Database):
    reviewed(
        database,
        "2026-02-05T23:59:59Z",
        "2026-02-06T00:00:00Z",
        "2026-03-07 23:59:59.999",
        "2026-03-08T00:00:00",
        "2026-03-01",
        "  2026-03-02T00:00:00Z ",
        "20260303T000000Z",
        "2026-W10-3",
    )
    assert rows(database) == ["feedback-1", "feedback-4", "feedback-5", "feedback-6", "feedback-7", "feedback-2"]
    assert rejected(database) == {}


def test_an_offset_decides_at_the_edges_of_the_window(database: Database):
    reviewed(
        database,
        "2026-02-05T22:00:00-03:00",
        "2026-02-06T02:00:00+03:00",
        "2026-03-07T22:00:00-03:00",
        "2026-03-08T02:00:00+03:00",
    )
    assert rows(database) == ["feedback-0", "feedback-3"]
    assert read(database).rows["submitted_at"].tolist() == [
        pd.Timestamp("2026-02-06T01:00:00Z"),
        pd.Timestamp("2026-03-07T23:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        (
            Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)),
            "2025-12-31T22:00:00-05:00",
            "2026-01-01T03:00:00+05:00",
        ),
        (
            Window(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
            "2027-01-01T01:00:00+02:00",
            "2026-12-31T22:00:00-02:00",
        ),
    ],
    ids=["begins with a year", "ends with a year"],
)
def test_an_offset_decides_where_a_window_meets_the_turn_of_a_year(
    database: Database, window: Window, inside: str, outside: str
):
    """The year that a string begins with may be another than that of its moment."""
    reviewed(database, inside, outside)
    found = read_window(Reader(database, NAMES, "technical", None), window, min_rating=0.0)
    assert found.rows["feedback_id"].tolist() == ["feedback-0"]


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "",
        "2026-02-30T12:00:00Z",
        "2026-03-01T25:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-02-30T12:00:00Z",
        "1999-01-01T00:00:00Zulu",
        "01/03/2026",
        1772366400000,
        1772366400.0,
        True,
        {"date": "2026-03-01"},
        ["2026-03-01"],
        ObjectId(),
    ],
)
def test_a_time_that_cannot_be_parsed_is_quarantined(database: Database, moment: object):
    """Whatever year it seems to name: what is no time lies in no other window either."""
    reviewed(database, moment, WEEK_END - SECOND)
    assert rejected(database) == {"feedback-0": "invalid_submitted_at"}
    assert rows(database) == ["feedback-1"]


def test_undated_feedback_is_counted_over_all_time_and_quarantined_nowhere(database: Database):
    undated = [feedback(number, submitted_at=None) for number in (1, 2)]
    del undated[1]["submitted_at"]
    foreign = feedback(3, specialist="business", submitted_at=None)
    put(database, feedback=[*undated, foreign, feedback(4)], opinions=[opinion(4)])
    found = read(database)
    assert found.undated == 2
    assert found.quarantine == []
    assert len(found.rows) == 1


def test_dates_far_outside_what_python_can_hold_do_no_harm(database: Database):
    reviewed(database, DatetimeMS(2**55), DatetimeMS(-(2**55)), WEEK_END - SECOND)
    assert rows(database) == ["feedback-2"]


# --- which feedback -------------------------------------------------------------------------------------


def test_the_feedback_of_another_specialist_is_not_read(database: Database):
    put(
        database,
        opinions=[opinion(1), opinion(2, specialist="business")],
        feedback=[feedback(1), feedback(2, specialist="business")],
    )
    assert rows(database) == ["feedback-1"]
    assert rows(database, specialist="business") == ["feedback-2"]


def test_an_opinion_of_another_specialist_is_unknown(database: Database):
    put(database, opinions=[opinion(1, specialist="business")], feedback=[feedback(1)])
    assert rejected(database) == {"feedback-1": "unknown_opinion"}


@pytest.mark.parametrize("opinion_id", ["opinion-2", "Opinion-1", "", None, 1])
def test_feedback_on_no_opinion_is_quarantined(database: Database, opinion_id: object):
    put(database, opinions=[opinion(1)], feedback=[feedback(1, opinion_id=opinion_id)])
    assert rejected(database) == {"feedback-1": "unknown_opinion"}


def test_an_opinion_whose_id_is_a_list_is_unknown(database: Database):
    """MongoDB finds such a document by each id in the list."""
    put(
        database,
        opinions=[opinion(1, opinion_id=["opinion-1"]), opinion(2)],
        feedback=[feedback(1), feedback(2)],
    )
    assert rejected(database) == {"feedback-1": "unknown_opinion"}
    assert rows(database) == ["feedback-2"]


def test_the_newest_feedback_on_an_opinion_labels_its_row(database: Database):
    put(
        database,
        opinions=[opinion(1)],
        feedback=[
            feedback(1, feedback_id="older", human_recommendation="approve", submitted_at="2026-03-01T12:00:00Z"),
            feedback(1, feedback_id="newer", human_recommendation="reject", submitted_at="2026-03-01T10:00:00-03:00"),
            feedback(1, feedback_id="after the window", submitted_at=WEEK_END),
            feedback(1, feedback_id="faulty", human_rating=7, submitted_at=WEEK_END - SECOND),
        ],
    )
    found = read(database)
    assert found.rows[["feedback_id", "label"]].to_numpy().tolist() == [["newer", 0]]
    assert rejected(database) == {"faulty": "invalid_rating"}


def test_feedback_below_the_least_rating_is_left_out_and_not_rejected(database: Database):
    put(
        database,
        opinions=[opinion(1), opinion(2)],
        feedback=[
            feedback(1, feedback_id="good", human_rating=0.9),
            feedback(1, feedback_id="poor but newer", human_rating=0.2, submitted_at=WEEK_END - SECOND),
            feedback(2, human_rating=0.2),
        ],
    )
    assert rows(database, min_rating=0.5) == ["good"]
    assert rejected(database, min_rating=0.5) == {}
    assert rows(database) == ["feedback-2", "poor but newer"]


def test_equal_feedback_twice_is_one_row_or_one_rejection(database: Database):
    put(database, opinions=[opinion(1)], feedback=[feedback(1), feedback(1), feedback(2), feedback(2)])
    found = read(database)
    assert len(found.rows) == 1
    assert reason_counts(found.quarantine) == {"unknown_opinion": 1}


def test_rejected_documents_are_kept_whole(database: Database):
    put(database, feedback=[feedback(1, feedback_notes="please keep me", metadata={"ticket": 7})])
    (entry,) = read(database).quarantine
    assert entry["document"] == database.specialist_feedback.find_one()


# --- plans and features ---------------------------------------------------------------------------------


OWN, LEDGER = plan(tasks=[task("own")]), plan(tasks=[task("a"), task("b"), task("c")])


def test_the_plan_of_the_opinion_comes_before_that_of_the_ledger(database: Database):
    with_plan(database, own=OWN, ledger=LEDGER)
    assert read(database).rows["num_tasks"].tolist() == [1.0]


def test_a_plan_that_the_opinion_lacks_is_taken_from_the_ledger(database: Database):
    with_plan(database, ledger=LEDGER)
    assert read(database).rows["num_tasks"].tolist() == [3.0]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param({**OWN, "tasks": None}, id="tasks null"),
        pytest.param({**OWN, "tasks": {"0": task("a")}}, id="tasks a map"),
        pytest.param({"original_domain": "TECHNICAL"}, id="no tasks field"),
        pytest.param({}, id="an empty map"),
        pytest.param("plan-1", id="a string"),
        pytest.param([OWN], id="a list"),
    ],
)
def test_what_is_no_plan_gives_way_to_the_ledger_or_is_missing(database: Database, own: object):
    with_plan(database, own=own)
    assert rejected(database) == {"feedback-1": "missing_plan"}
    database.cognitive_ledger.insert_one({"plan_id": "plan-1", "plan_data": LEDGER})
    assert read(database).rows["num_tasks"].tolist() == [3.0]
    database.cognitive_ledger.update_one({}, {"$set": {"plan_data": own}})
    assert rejected(database) == {"feedback-1": "missing_plan"}


def test_an_invalid_plan_of_the_opinion_is_not_replaced_by_the_ledger_s(database: Database):
    with_plan(database, own={**OWN, "original_domain": None}, ledger=LEDGER)
    assert rejected(database) == {"feedback-1": "invalid_plan"}


def test_an_empty_plan_and_a_cyclic_one_are_rows(database: Database):
    cyclic = plan(tasks=[task("a", dependencies=["b"]), task("b", dependencies=["a"])])
    put(
        database,
        opinions=[opinion(1, cognitive_plan=plan(tasks=[])), opinion(2, cognitive_plan=cyclic)],
        feedback=[feedback(1), feedback(2)],
    )
    found = read(database)
    assert found.quarantine == []
    assert found.rows["num_tasks"].tolist() == [0.0, 2.0]
    assert found.rows["num_levels"].tolist() == [0.0, 0.0]
    assert found.rows["max_parallelism"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("own", [OWN, None], ids=["with a plan", "without a plan"])
def test_complete_stored_features_come_before_any_plan(database: Database, own: object):
    with_plan(database, own=own, stored={"aggregated_features": STORED})
    found = read(database)
    assert found.rows[list(FEATURE_NAMES)].to_numpy().tolist() == [list(STORED.values())]
    assert (found.stored, found.computed) == (1, {})


def test_incomplete_stored_features_are_computed_and_left_alone(database: Database):
    with_plan(database, own=OWN, stored={"aggregated_features": {**STORED, "mean_norm": None}})
    found = read(database)
    assert found.rows["num_tasks"].tolist() == [1.0]
    assert found.rows[list(EMBEDDING_FEATURES)].isna().all(axis=None)
    assert (found.stored, found.computed) == (0, {})


def test_incomplete_stored_features_are_no_plan(database: Database):
    with_plan(database, stored={"aggregated_features": {"num_tasks": 1.0}})
    assert rejected(database) == {"feedback-1": "missing_plan"}


def test_computed_features_are_those_of_the_extractor_and_are_handed_on(database: Database):
    """The parts of a plan that are not read from MongoDB make no difference."""
    full = plan(
        tasks=[
            task(
                "a",
                description="Nested services",
                parameters={"x": 1},
                metadata={"y": 2},
                required_capabilities=["read"],
                task_type=None,
            ),
            {"task_id": "b", "dependencies": ["a", "ghost"]},
        ],
        execution_order=["a", "b"],
        metadata={"k": 1},
        risk_score=None,
    )
    del full["complexity_score"]
    with_plan(database, own=full)
    found = read(database)
    assert found.rows[list(COMPUTED_FEATURES)].iloc[0].to_dict() == compute_features(full)
    assert found.computed == {"plan-1": compute_features(full)}


@pytest.mark.parametrize("plan_id", [None, 17])
def test_an_opinion_that_names_no_plan_takes_the_one_that_its_feedback_names(database: Database, plan_id: object):
    put(
        database,
        opinions=[opinion(1, plan_id=plan_id, cognitive_plan=None)],
        feedback=[feedback(1, plan_id="elsewhere")],
        plans=[{"plan_id": "elsewhere", "plan_data": LEDGER}],
    )
    assert read(database).rows[["plan_id", "num_tasks"]].to_numpy().tolist() == [["elsewhere", 3.0]]


def test_the_plan_is_the_one_that_the_opinion_names_not_the_feedback(database: Database):
    put(database, opinions=[opinion(1)], feedback=[feedback(1, plan_id="mistaken")])
    assert read(database).rows["plan_id"].tolist() == ["plan-1"]


def test_opinions_of_one_plan_share_its_stored_features(database: Database):
    put(
        database,
        opinions=[opinion(number, plan_id="shared", cognitive_plan=None) for number in (1, 2)],
        feedback=[feedback(1), feedback(2)],
        features=[{"plan_id": "shared", "features": STORED}],
    )
    found = read(database)
    assert found.stored == 2
    assert found.rows["plan_id"].tolist() == ["shared", "shared"]


def test_documents_beyond_one_batch_are_joined_too(database: Database):
    numbers = range(1005)
    with_plan(database, stored={"aggregated_features": STORED}, numbers=numbers)
    found = read(database)
    assert found.stored == len(numbers)
    assert found.rows["opinion_id"].nunique() == len(numbers)


# --- the dataset ----------------------------------------------------------------------------------------


def some(database: Database[Document], count: int) -> None:
    opinions, reviews = reviewed_opinions(count)
    put(database, opinions=opinions, feedback=reviews)


def kinds(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return frame.groupby(["source", "split"]).size().to_dict()


def test_enough_real_rows_stay_alone(database: Database):
    some(database, 20)
    frame = assembled(database, min_samples=20, fallback="yes")
    assert schema_faults(frame) == []
    assert kinds(frame) == {("real", "train"): 14, ("real", "validation"): 3, ("real", "test"): 3}
    assert frame.attrs["data_source"] == "real"


def test_synthetic_rows_fill_train_alone_up_to_the_wanted_number(database: Database):
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


@pytest.mark.parametrize("count", [0, 20])
def test_where_synthetic_rows_are_forbidden_there_are_none(database: Database, count: int):
    some(database, count)
    frame = assembled(database, min_samples=50)
    assert schema_faults(frame) == []
    assert len(frame) == count
    assert set(frame["source"]) <= {"real"}


def test_synthetic_rows_have_no_embedding_features(database: Database):
    frame = assembled(database, min_samples=5, fallback="yes")
    assert frame[list(EMBEDDING_FEATURES)].isna().all(axis=None)


def test_what_the_documents_came_to_is_described(database: Database):
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
        "real_rows": 2,
        "synthetic_rows": 0,
        "stored_features_rows": 1,
    }


def blemished() -> dict[str, list[Document]]:
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
    draw, versions = random.Random(11), set()
    for _ in range(4):
        for name in (NAMES.feedback, NAMES.opinions, NAMES.plans, NAMES.features):
            database[name].delete_many({})
        put(database, **{name: draw.sample(some, len(some)) for name, some in documents.items()})
        versions.add(data_version(assembled(database)))
    return versions


def test_the_order_of_insertion_decides_nothing(database: Database):
    documents = blemished()
    assert len(versions_of_shuffles(database, documents)) == 1
    documents["feedback"][6]["human_rating"] = 0.123
    assert versions_of_shuffles(database, documents) != versions_of_shuffles(database, blemished())


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param(
            {
                "opinions": [opinion(number) for number in range(8)],
                "feedback": [feedback(number, feedback_id="same") for number in range(8)],
            },
            id="one feedback id on several opinions at one moment",
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
def test_nor_does_it_decide_between_documents_that_tie(database: Database, documents: dict[str, list[Document]]):
    assert len(versions_of_shuffles(database, documents)) == 1


def test_features_written_back_change_nothing_for_the_next_run(database: Database):
    put(database, **blemished())
    ensure_index(database.plan_features)
    before, found = data_version(assembled(database)), read(database)
    assert write_back(database.plan_features, found.computed, NOW) == len(found.computed) > 20
    assert data_version(assembled(database)) == before
    assert write_back(database.plan_features, read(database).computed, NOW) == 0
