"""The week with which the partitions begin (FIRST_WEEK), and whether it fits the feedback."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

EARLIEST: Final = "2026-01-04"
"""No week before this one is a partition, nor can there be records of one."""

_KEY_FORMAT: Final = "%Y-%m-%d"
_SUNDAY: Final = 7


def running_week(now: datetime) -> str:
    """First day of the week at this time: weeks run from Sunday 00:00 UTC to the next."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=(today.weekday() + 1) % 7)).strftime(_KEY_FORMAT)


def checked_week(text: str) -> str:
    """The week that a person chose as the first one.

    Raises:
        ValueError: it is no Sunday from EARLIEST on.
    """
    try:
        day = datetime.strptime(text, _KEY_FORMAT).replace(tzinfo=UTC).date()
    except ValueError:
        raise ValueError("must be a day as YYYY-MM-DD") from None
    if day.isoweekday() != _SUNDAY:
        raise ValueError(f"must be a Sunday, with which a week begins, such as {_sunday_before(day)}")
    if day.isoformat() < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST}")
    return day.isoformat()


def _sunday_before(day: date) -> str:
    return (day - timedelta(days=day.isoweekday())).isoformat()


def fitting_week(oldest: datetime) -> str:
    """The first week that can learn from the oldest feedback."""
    return max(EARLIEST, running_week(oldest))


def misfit(first: str, oldest: datetime | None) -> str | None:
    """One sentence if the first week does not fit the feedback, with what to set instead; None if it does.

    Args:
        first: the first week that is a partition.
        oldest: time of the oldest feedback; None if there is none.
    """
    if oldest is None or first == (fitting := fitting_week(oldest)):
        return None
    consequence = (
        "the weeks before it stay empty for ever" if first < fitting else "the weeks before cannot be retrained"
    )
    begun = "begin with" if first < fitting else "begin only with"
    return (
        f"The partitions {begun} the week {first}, and the oldest feedback is of {oldest:%Y-%m-%d}: {consequence}."
        f" Set FIRST_WEEK={fitting}"
    )
