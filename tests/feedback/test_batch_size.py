"""Opinions are joined in batches, whose size follows the size of their documents and changes nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import data_version
from nhm_assets.feedback import batch_size
from nhm_assets.feedback.batch_size import MOST, BatchSize
from tests.support.commands import Commands, listened
from tests.support.documents import WEEK_END, Document, feedback, opinion, plan, put, task
from tests.support.windows import STORED, assembled, read, rejected

MIB = 1024 * 1024
COUNT = 60


@pytest.mark.parametrize(
    ("opinions", "received", "coming"),
    [
        pytest.param(100, 12 * MIB, 100, id="as expected"),
        pytest.param(100, 24 * MIB, 50, id="large plans"),
        pytest.param(100, 3 * MIB, 400, id="small plans"),
        pytest.param(100, 100 * 16 * MIB, 10, id="as large as MongoDB allows"),
        pytest.param(100, 0, MOST, id="no documents"),
    ],
)
def test_the_size_of_documents_decides_how_many_come_next(opinions: int, received: int, coming: int):
    size = BatchSize()
    size.saw(opinions, received)
    assert size.opinions == coming


@pytest.mark.parametrize(("named", "ahead"), [("plan", 3), ("another", 8)])
def test_large_plans_come_a_few_at_a_time(
    named: str, ahead: int, database: Database, mongod_uri: str, monkeypatch: pytest.MonkeyPatch
):
    """Also those that are read by themselves, because the feedback named another plan, which has features."""
    monkeypatch.setattr(batch_size, "_BYTES", MIB // 2)
    monkeypatch.setattr(batch_size, "_FIRST", 20)
    large = plan(tasks=[task("a", description="x" * 40_000)])
    numbers = range(200)
    put(
        database,
        opinions=[opinion(number, cognitive_plan=large) for number in numbers],
        feedback=[
            feedback(number, plan_id=f"{named}-{number}", submitted_at=WEEK_END - timedelta(minutes=number + 1))
            for number in numbers
        ],
        features=[{"plan_id": f"another-{number}", "features": STORED} for number in numbers],
    )
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as listening:
        assert len(read(listening).rows) == len(numbers)
    asked = [
        len(one["filter"]["opinion_id"]["$in"]) for one in commands.reads() if "opinion_id" in one.get("filter", {})
    ]
    assert asked[0] == 20
    # What is read ahead was asked for before the size was known: in two questions where plans are read by themselves.
    assert all(count <= 13 for count in asked[ahead:])
    assert len(asked) > 12


def test_the_size_of_batches_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch):
    put(database, **_with_everything_that_batches_could_part())
    found = []
    for size in (1, 7, COUNT):
        monkeypatch.setattr(batch_size, "_FIRST", size)
        monkeypatch.setattr(batch_size, "MOST", size)
        monkeypatch.setattr(batch_size, "_FEWEST", size)
        computed = {name: list(values.items()) for name, values in read(database).computed.items()}
        found.append((data_version(assembled(database)), list(computed.items()), rejected(database)))
    assert found[0] == found[1] == found[2]
    assert found[0][1]
    assert set(found[0][2].values()) == {"missing_plan", "unknown_opinion", "invalid_plan"}


def _with_everything_that_batches_could_part() -> dict[str, list[Document]]:
    """Several feedback documents on one opinion that name different plans, and several opinions on one plan."""
    opinions, reviews = [], []
    for number in range(COUNT):
        # Four opinions each are on one plan, with a plan of their own or without any.
        fields: dict[str, Any] = {"plan_id": f"plan-{number % 15}"}
        if number % 3:
            fields["cognitive_plan"] = plan(tasks=[task(f"t{one}") for one in range(number % 5)])
        if number % 7 == 0:
            fields |= {"plan_id": None, "cognitive_plan": None}
        if number % 11 == 5:
            fields["cognitive_plan"] = plan(original_domain=None)
        if number % 13 != 12:
            opinions.append(opinion(number, **fields))
        reviews += [
            feedback(
                number,
                feedback_id=f"feedback-{number}-{again}",
                plan_id=f"plan-{(number + 4 * again) % 15}",
                submitted_at=WEEK_END - timedelta(hours=1 + (number * 17 + again * 29) % 97),
            )
            for again in range(1 + number % 3)
        ]
    return {
        "feedback": reviews,
        "opinions": opinions,
        "plans": [{"plan_id": f"plan-{number}", "plan_data": plan(tasks=[task("l")])} for number in (1, 2, 3)],
        "features": [{"plan_id": f"plan-{number}", "features": STORED} for number in (4, 5, 6)],
    }
