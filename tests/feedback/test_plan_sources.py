"""Where the plan and the features of a row come from."""

from datetime import timedelta

import pytest
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, EMBEDDING_FEATURES, FEATURE_NAMES
from nhm_assets.feedback.features import compute_features
from tests.support.documents import (
    WEEK_END,
    feedback,
    opinion,
    plan,
    put,
    task,
)
from tests.support.windows import STORED, read, rejected, with_plan

OWN, LEDGER = plan(tasks=[task("own")]), plan(tasks=[task("a"), task("b"), task("c")])


def test_the_opinion_s_own_plan_is_preferred_to_the_ledger_s(database: Database):
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
def test_an_unusable_plan_is_replaced_by_the_ledger_s_or_counts_as_missing(database: Database, own: object):
    with_plan(database, own=own)
    assert rejected(database) == {"feedback-1": "missing_plan"}
    database.cognitive_ledger.insert_one({"plan_id": "plan-1", "plan_data": LEDGER})
    assert read(database).rows["num_tasks"].tolist() == [3.0]
    database.cognitive_ledger.update_one({}, {"$set": {"plan_data": own}})
    assert rejected(database) == {"feedback-1": "missing_plan"}


def test_an_invalid_plan_of_the_opinion_is_not_replaced_by_the_ledger_s(database: Database):
    with_plan(database, own={**OWN, "original_domain": None}, ledger=LEDGER)
    assert rejected(database) == {"feedback-1": "invalid_plan"}


def test_empty_and_cyclic_plans_become_rows(database: Database):
    cyclic = plan(tasks=[task("a", dependencies=["b"]), task("b", dependencies=["a"])])
    put(
        database,
        opinions=[opinion(1, cognitive_plan=plan(tasks=[])), opinion(2, cognitive_plan=cyclic)],
        feedback=[feedback(1), feedback(2)],
    )
    result = read(database)
    assert result.quarantine == []
    assert result.rows["num_tasks"].tolist() == [0.0, 2.0]
    assert result.rows["num_levels"].tolist() == [0.0, 0.0]
    assert result.rows["max_parallelism"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("own", [OWN, None], ids=["with a plan", "without a plan"])
def test_complete_stored_features_are_preferred_to_any_plan(database: Database, own: object):
    with_plan(database, own=own, stored={"aggregated_features": STORED})
    result = read(database)
    assert result.rows[list(FEATURE_NAMES)].to_numpy().tolist() == [list(STORED.values())]
    assert (result.stored, result.computed) == (1, {})


def test_incomplete_stored_features_are_computed_and_not_overwritten(database: Database):
    with_plan(database, own=OWN, stored={"aggregated_features": {**STORED, "mean_norm": None}})
    result = read(database)
    assert result.rows["num_tasks"].tolist() == [1.0]
    assert result.rows[list(EMBEDDING_FEATURES)].isna().all(axis=None)
    assert (result.stored, result.computed) == (0, {})


def test_incomplete_stored_features_do_not_replace_a_missing_plan(database: Database):
    with_plan(database, stored={"aggregated_features": {"num_tasks": 1.0}})
    assert rejected(database) == {"feedback-1": "missing_plan"}


def test_computed_features_are_those_of_the_extractor_and_are_returned_for_storing(database: Database):
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
    result = read(database)
    assert result.rows[list(COMPUTED_FEATURES)].iloc[0].to_dict() == compute_features(full)
    assert result.computed == {"plan-1": compute_features(full)}


@pytest.mark.parametrize("plan_id", [None, 17, ""])
def test_an_opinion_without_a_plan_id_takes_that_of_its_feedback(database: Database, plan_id: object):
    put(
        database,
        opinions=[opinion(1, plan_id=plan_id, cognitive_plan=None)],
        feedback=[feedback(1, plan_id="elsewhere")],
        plans=[{"plan_id": "elsewhere", "plan_data": LEDGER}],
    )
    assert read(database).rows[["plan_id", "num_tasks"]].to_numpy().tolist() == [["elsewhere", 3.0]]


def test_the_opinion_s_plan_id_is_preferred_to_that_of_the_feedback(database: Database):
    put(database, opinions=[opinion(1)], feedback=[feedback(1, plan_id="mistaken")])
    assert read(database).rows["plan_id"].tolist() == ["plan-1"]


def test_opinions_of_one_plan_share_its_stored_features(database: Database):
    put(
        database,
        opinions=[opinion(number, plan_id="shared", cognitive_plan=None) for number in (1, 2)],
        feedback=[feedback(1), feedback(2)],
        features=[{"plan_id": "shared", "features": STORED}],
    )
    result = read(database)
    assert result.stored == 2
    assert result.rows["plan_id"].tolist() == ["shared", "shared"]


def test_documents_beyond_one_batch_are_joined_too(database: Database):
    numbers = range(1005)
    with_plan(database, stored={"aggregated_features": STORED}, numbers=numbers)
    result = read(database)
    assert result.stored == len(numbers)
    assert result.rows["opinion_id"].nunique() == len(numbers)


def test_an_opinion_that_names_no_plan_is_on_that_of_its_newest_feedback(database: Database):
    days = {"older": 3, "newest": 1, "oldest": 5}
    put(
        database,
        opinions=[opinion(1, plan_id=None)],
        feedback=[
            feedback(1, feedback_id=name, plan_id=name, submitted_at=WEEK_END - timedelta(days=count))
            for name, count in days.items()
        ],
    )
    assert read(database).rows[["feedback_id", "plan_id"]].to_numpy().tolist() == [["newest", "newest"]]
