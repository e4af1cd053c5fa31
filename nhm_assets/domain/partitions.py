"""Week x specialist, and the training window of a partition.

A partition key is built and parsed here and nowhere else. Weeks run from Sunday 00:00 UTC to the next.
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
"""The running week is a partition too: that is what a burst of feedback retrains."""

specialist_weeks = MultiPartitionsDefinition(
    {"week": weeks, "specialist": StaticPartitionsDefinition(list(SPECIALISTS))}
)


def parse_specialist(name: str) -> Specialist:
    """The specialist that a person named.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SPECIALISTS:
        raise UsageError(f"unknown specialist {name!r}; the five are {', '.join(SPECIALISTS)}")
    return Specialist(name)


@dataclass(frozen=True)
class Window:
    """The half-open stretch of time [start, end), in UTC, whose feedback a partition learns from."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Partition:
    """One specialist in one week; `week` is the first day of the week, YYYY-MM-DD."""

    week: str
    specialist: Specialist

    @classmethod
    def parse(cls, week: str, specialist: str) -> Self:
        """Check a week and a specialist that a person named.

        Raises:
            UsageError: the specialist is unknown, or no week of the platform begins on that day.
        """
        known = parse_specialist(specialist)
        if not weeks.has_partition_key(week):
            raise UsageError(
                f"unknown week {week!r}; a week is named by its Sunday as YYYY-MM-DD,"
                f" from {FIRST_WEEK} to {weeks.get_last_partition_key()}"
            )
        return cls(week, known)

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The partition that a Dagster partition key names."""
        dimensions = specialist_weeks.get_partition_key_from_str(key).keys_by_dimension
        return cls(dimensions["week"], Specialist(dimensions["specialist"]))

    @property
    def key(self) -> MultiPartitionKey:
        """The Dagster partition key, `specialist|week`."""
        return MultiPartitionKey({"week": self.week, "specialist": str(self.specialist)})

    @property
    def week_end(self) -> datetime:
        """The Sunday 00:00 UTC at which the week closes."""
        return datetime.strptime(self.week, _KEY_FORMAT).replace(tzinfo=UTC) + WEEK

    def window(self, *, days: int, now: datetime) -> Window:
        """The window that ends with the week, or now while the week is still running.

        Raises:
            UsageError: the week has not begun yet.
        """
        if now < self.week_end - WEEK:
            raise UsageError(f"week {self.week} has not begun yet: it is {now:%Y-%m-%d %H:%M} UTC")
        return Window(self.week_end - timedelta(days=days), min(self.week_end, now))


def running_week(now: datetime) -> str:
    """First day of the week that `now` lies in."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=(today.weekday() + 1) % 7)).strftime(_KEY_FORMAT)


def last_closed_week(now: datetime) -> str:
    """First day of the newest week that ended at or before `now`."""
    return running_week(now - WEEK)
