"""Partitions (week x specialist) and their training windows.

Partition keys are built and parsed only here. Weeks run from Sunday 00:00 UTC to the next.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from dagster import (
    MultiPartitionKey,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
    WeeklyPartitionsDefinition,
)

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import SPECIALISTS, Specialist

FIRST_WEEK: Final = "2026-01-04"
WEEK: Final = timedelta(days=7)
_KEY_FORMAT: Final = "%Y-%m-%d"

weeks = WeeklyPartitionsDefinition(
    start_date=FIRST_WEEK, timezone="UTC", day_offset=0, hour_offset=0, minute_offset=0, end_offset=1
)
"""The running week is a partition too, so that a burst of feedback can start a retraining at once."""

specialist_weeks = MultiPartitionsDefinition(
    {"week": weeks, "specialist": StaticPartitionsDefinition(list(SPECIALISTS))}
)


def parse_specialist(name: str) -> Specialist:
    """The specialist with this name.

    Raises:
        UsageError: there is no such specialist.
    """
    if name not in SPECIALISTS:
        raise UsageError(f"unknown specialist {name!r}. Choose one of {', '.join(SPECIALISTS)}")
    return Specialist(name)


@dataclass(frozen=True)
class Window:
    """The times of the feedback that a partition learns from: from `start` to before `end`, in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Partition:
    """One specialist in one week. `week` is the first day of the week, YYYY-MM-DD."""

    week: str
    specialist: Specialist

    @classmethod
    def parse(cls, week: str, specialist: str) -> Self:
        """The partition of a week and a specialist that a person entered.

        Raises:
            UsageError: the specialist is unknown, or no week of the platform begins on that day.
        """
        checked_specialist = parse_specialist(specialist)
        if not weeks.has_partition_key(week):
            raise UsageError(
                f"unknown week {week!r}. Name a week by its first day, a Sunday, as YYYY-MM-DD,"
                f" from {FIRST_WEEK} to {weeks.get_last_partition_key()}"
            )
        return cls(week, checked_specialist)

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The partition with this Dagster partition key."""
        dimensions = specialist_weeks.get_partition_key_from_str(key).keys_by_dimension
        return cls(dimensions["week"], Specialist(dimensions["specialist"]))

    @classmethod
    def named(cls, text: str) -> Self | None:
        """The partition with this key, for text that may be anything; None if it is no key."""
        specialist, _, week = text.partition("|")
        return cls(week, Specialist(specialist)) if week and specialist in SPECIALISTS else None

    @property
    def key(self) -> MultiPartitionKey:
        """The Dagster partition key, `specialist|week`."""
        return MultiPartitionKey({"week": self.week, "specialist": str(self.specialist)})

    @property
    def week_end(self) -> datetime:
        """When the week ends: Sunday 00:00 UTC."""
        return end_of_week(self.week)

    def window(self, *, days: int, now: datetime) -> Window:
        """The window that ends with the week, or now if the week is still running; always this many days long.

        Raises:
            UsageError: the week has not begun yet.
        """
        if now < self.week_end - WEEK:
            raise UsageError(f"week {self.week} has not begun yet: it is now {now:%Y-%m-%d %H:%M} UTC")
        end = min(self.week_end, now)
        return Window(end - timedelta(days=days), end)


def end_of_week(week: str) -> datetime:
    """When the week that begins on this day ends: Sunday 00:00 UTC."""
    return datetime.strptime(week, _KEY_FORMAT).replace(tzinfo=UTC) + WEEK


def running_week(now: datetime) -> str:
    """First day of the current week."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=(today.weekday() + 1) % 7)).strftime(_KEY_FORMAT)


def last_closed_week(now: datetime) -> str:
    """First day of the newest week that has ended by `now`."""
    return running_week(now - WEEK)
