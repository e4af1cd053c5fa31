"""Reviews and opinions as columns: the same ones, in the same order, as one by one."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from nhm_assets.served.columns import (
    UNTOLD,
    Answers,
    OpinionsRead,
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


def keys(columns: Answers) -> list[bytes]:
    content = columns.keys.tobytes()
    return [content[at : at + 16] for at in range(0, len(content), 16)]


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
