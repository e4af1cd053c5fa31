"""The week with which the partitions begin, and whether it fits the feedback."""

from datetime import UTC, datetime

import pytest

from nhm_assets.domain.first_week import EARLIEST, fitting_week, misfit
from nhm_assets.domain.partitions import first_week

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("oldest", "week"),
    [
        (datetime(2026, 10, 4, tzinfo=UTC), "2026-10-04"),
        (datetime(2026, 10, 10, 23, 59, tzinfo=UTC), "2026-10-04"),
        (datetime(1970, 1, 1, tzinfo=UTC), EARLIEST),
    ],
)
def test_the_week_that_fits_is_that_of_the_oldest_feedback(oldest: datetime, week: str):
    assert fitting_week(oldest) == week
    assert misfit(week, oldest) is None


def test_without_feedback_every_week_fits():
    assert misfit(EARLIEST, None) is None


def test_weeks_before_the_oldest_feedback_and_feedback_before_the_first_week_are_named():
    oldest = datetime(2026, 10, 7, tzinfo=UTC)
    early = misfit("2026-01-04", oldest)
    assert early is not None
    assert "the oldest feedback is of 2026-10-07: the weeks before it stay empty for ever" in early
    late = misfit("2026-11-01", oldest)
    assert late is not None
    assert "begin only with the week 2026-11-01" in late
    assert all(sentence.endswith("Set FIRST_WEEK=2026-10-04") for sentence in (early, late))


@pytest.mark.parametrize(
    ("begin", "keep", "first"),
    [("2026-10-04", 156, "2026-10-04"), ("2026-10-04", 2, "2026-11-08"), ("2027-01-03", 156, "2026-11-22")],
)
def test_partitions_begin_with_the_first_week_unless_it_is_too_old_or_to_come(begin: str, keep: int, first: str):
    assert first_week(NOW, keep, begin) == first
