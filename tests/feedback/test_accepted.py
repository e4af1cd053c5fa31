"""Which feedback on an opinion counts, and in which order rows are."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
from bson import ObjectId

from nhm_assets.feedback.accepted import Accepted, part_of
from nhm_assets.feedback.rules import Feedback

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = count()


def given(feedback_id: str = "f", *, opinion: str = "o", hours: int = 0, label: int = 1, rating: float = 0.5):
    return Feedback(NOON + timedelta(hours=hours), feedback_id, label, rating, opinion, "p", next(NUMBERS))


def newest(candidates: list[Feedback], *, min_rating: float = 0.0) -> list[Feedback]:
    """The feedback that counts, in order."""
    accepted = Accepted([part_of(candidates[:3]), part_of([]), part_of(candidates[3:])])
    by_id = {one.document_id: one for one in candidates}
    chosen = accepted.newest_per_opinion(np.ones(len(candidates), "bool"), min_rating=min_rating)
    return [by_id[accepted.feedback.document_id(position)] for position in chosen.tolist()]


def test_the_newest_feedback_on_an_opinion_wins():
    chosen = newest([given("a", hours=2), given("z", hours=1), given("b", opinion="other")])
    assert [(one.opinion_id, one.feedback_id) for one in chosen] == [("other", "b"), ("o", "a")]


def test_of_feedback_with_the_same_time_the_greatest_id_wins():
    chosen = newest([given("feedback-9"), given("feedback-10")])
    assert [one.feedback_id for one in chosen] == ["feedback-9"]


def test_poorly_rated_feedback_is_left_out_before_the_choice():
    older, newer = given("a", hours=1, rating=0.6), given("b", hours=2, rating=0.59)
    assert newest([older, newer], min_rating=0.6) == [older]
    assert newest([older, newer], min_rating=0.59) == [newer]
    assert newest([older, newer], min_rating=0.61) == []


def test_what_is_chosen_is_sorted_by_time_then_id():
    candidates = [given(f"f{n % 7}", opinion=f"o{n}", hours=n % 3) for n in range(20)]
    chosen = newest(candidates)
    assert len(chosen) == 20
    assert chosen == sorted(chosen, key=lambda one: (one.submitted_at, one.feedback_id))


def shuffles(candidates: list[Feedback]) -> Iterator[list[Feedback]]:
    rng = random.Random(3)
    for _ in range(10):
        yield newest(rng.sample(candidates, len(candidates)))


def test_which_feedback_wins_does_not_depend_on_the_order_of_reading():
    """Even if two documents have the same id and time but different verdicts."""
    rng = random.Random(5)
    candidates = [
        given(f"f{n % 10}-{rng.randrange(2)}", opinion=f"o{n % 10}", label=rng.randrange(3), rating=rng.random())
        for n in range(200)
    ]
    assert len({tuple(one[:6] for one in chosen) for chosen in shuffles(candidates)}) == 1


def test_rows_with_the_same_time_and_id_have_a_fixed_order():
    """Ids should be unique, but another system assigns them. The order of rows decides their split."""
    candidates = [given("f", opinion=f"o{number}") for number in range(20)]
    assert len({tuple(one.opinion_id for one in chosen) for chosen in shuffles(candidates)}) == 1


def test_of_equal_copies_that_name_different_plans_the_first_in_order_counts():
    copies = [given()._replace(plan_id=plan_id) for plan_id in ("b", None, "a", "c")]
    assert [one.plan_id for one in newest([*copies, given("e", label=2), given("f", label=0)])] == [None]


def test_feedback_that_cannot_become_a_row_does_not_count():
    accepted = Accepted([part_of([given("a", hours=1), given("b", hours=2)])])
    usable = np.array([True, False])
    assert accepted.newest_per_opinion(usable, min_rating=0.0).tolist() == [0]
    assert accepted.newest_per_opinion(~usable, min_rating=0.0).tolist() == [1]


def test_every_document_keeps_its_id():
    ids = [ObjectId(bytes(12)), "7", ObjectId(b"\1" * 12), 7]
    some = [given(hours=3 - number)._replace(document_id=one) for number, one in enumerate(ids)]
    feedback = Accepted([part_of(some[:1]), part_of(some[1:])]).feedback
    assert [feedback.document_id(position) for position in range(4)] == ids[::-1]


def test_nothing_is_accepted_of_nothing():
    accepted = Accepted([])
    assert len(accepted) == len(accepted.newest_per_opinion(np.ones(0, "bool"), min_rating=0.0)) == 0
