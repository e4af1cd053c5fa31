"""Reviews and opinions as columns: the same ones, in the same order, as one by one."""

import math
import random
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.feedback.accepted import microseconds
from nhm_assets.feedback.rules import Feedback, newest_per_opinion
from nhm_assets.served.columns import (
    UNTOLD,
    Answers,
    OpinionsRead,
    Reviews,
    ReviewsRead,
    Texts,
    key_of,
    version_of,
)
from nhm_assets.served.origins import Opinion
from nhm_assets.served.serving_times import Serving, ServingTimes

START = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = ServingTimes([Serving("1", START, START), Serving("2", START + timedelta(days=2), START + timedelta(days=3))])


def opinion(number: int, **changes) -> Opinion:
    given = {"version": "1", "at": START, "fallback": None, "confidence": number / 50, "risk": 0.1}
    return Opinion(opinion_id=f"opinion-{number}", plan_id=f"plan-{number % 7}", **(given | changes))


def feedback(draw: random.Random) -> Feedback:
    """Of few opinions at few times, so that many are equal."""
    at = START + timedelta(microseconds=draw.randrange(9))
    said = draw.randrange(3), draw.choice([0.25, 0.5])
    return Feedback(at, draw.choice(["a", "b", "é", "ab"]), *said, f"opinion-{draw.randrange(40)}", None, object())


def keys(columns: Answers | Reviews) -> list[bytes]:
    content = columns.keys.tobytes()
    return [content[at : at + 16] for at in range(0, len(content), 16)]


def test_the_newest_review_of_each_opinion_counts_as_it_does_in_a_dataset():
    draw = random.Random(5)
    given = [feedback(draw) for _ in range(400)]
    chosen = newest_per_opinion(given, min_rating=0.0)
    read = ReviewsRead()
    for one in given:
        read.append(one, opinion(int(one.opinion_id[8:])), 1)
    found = read.newest()
    assert len(found) == len(chosen) < 41
    expected = [(key_of(one.opinion_id), microseconds(one.submitted_at), one.label) for one in chosen]
    assert found.submitted_at.tolist() == [at for _, at, _ in expected]
    # Nothing says which of two reviews of different opinions is first that are equal in all else.
    assert sorted(zip(keys(found), found.submitted_at.tolist(), found.labels.tolist(), strict=True)) == sorted(expected)
    assert found.approvals() == {key: label == APPROVE for key, _, label in expected}


def test_the_order_of_reading_decides_nothing():
    draw = random.Random(6)
    given = [feedback(draw) for _ in range(200)]
    read = [ReviewsRead(), ReviewsRead()]
    for columns, order in zip(read, (given, given[::-1]), strict=True):
        for one in order:
            columns.append(one, opinion(int(one.opinion_id[8:])), 1)
    one, other = (columns.newest() for columns in read)
    assert keys(one) == keys(other)
    assert np.array_equal(one.confidence, other.confidence)


def test_opinions_count_for_the_version_that_gave_them():
    gap = START + timedelta(days=2, hours=1)
    given = [
        opinion(1),
        opinion(2, version="2"),
        opinion(3, at=gap),
        opinion(4, at=None),
        opinion(5, version=None, fallback="heuristics"),
        opinion(6, version=None),
        opinion(7, confidence=math.nan),
        opinion(8, version="2", risk=math.nan),
    ]
    read = OpinionsRead(TIMES)
    assert list(read.kept(given)) == given
    columns = read.columns()
    assert keys(columns.given_by("1")) == [key_of("opinion-1")]
    assert keys(columns.given_by("2")) == [key_of("opinion-2"), key_of("opinion-8")]
    assert np.array_equal(columns.given_by("2").confidence, [2 / 50, 8 / 50])
    assert len(columns.given_by(None)) == len(columns.given_by("3")) == 0
    assert [version_of(one, TIMES) == UNTOLD for one in given] == [False, False, True, True, *[False] * 4]


def test_each_plan_is_asked_for_once_and_in_order():
    texts = Texts()
    for one in ("plan-2", "plan-é", "plan-10", "plan-2"):
        texts.append(one)
    assert list(texts.distinct()) == ["plan-10", "plan-2", "plan-é"]
    assert list(Texts().distinct()) == []


def test_a_plan_whose_id_cannot_be_sent_is_not_asked_for():
    read = OpinionsRead(TIMES)
    assert len(list(read.kept([replace(opinion(1), plan_id="plan-\udcff", opinion_id="\udcff")]))) == 1
    assert list(read.columns().plan_ids.distinct()) == []


def test_a_review_takes_300_bytes_at_most():
    """As Python objects it took more than a kilobyte."""
    count = 20_000
    tracemalloc.start()
    read, about = ReviewsRead(), opinion(1)
    for number in range(count):
        at = START + timedelta(seconds=number)
        read.append(Feedback(at, f"feedback-{number:032}", 1, 0.5, f"opinion-{number}", None, None), about, 1)
    reviews = read.newest()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(reviews) == count
    assert most < 300 * count
