"""Partitions (week x specialist) and their training windows.

Partition keys are built and parsed only here. Weeks run from Sunday 00:00 UTC to the next.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, Self

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.first_week import EARLIEST, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists, configured_specialist, recorded_specialist

if TYPE_CHECKING:
    from dagster import MultiPartitionKey, MultiPartitionsDefinition, WeeklyPartitionsDefinition

WEEK: Final = timedelta(days=7)
_KEY_FORMAT: Final = "%Y-%m-%d"
_SUNDAY: Final = 7
_LISTED: Final = 20
"""With more specialists than this, an error does not name them all."""


def weeks_from(first: str) -> "WeeklyPartitionsDefinition":
    """The weeks from this one on.

    The running week is a partition too, so that a burst of feedback can start a retraining at once.
    """
    from dagster import WeeklyPartitionsDefinition

    return WeeklyPartitionsDefinition(
        start_date=first, timezone="UTC", day_offset=0, hour_offset=0, minute_offset=0, end_offset=1
    )


@cache
def weeks() -> "WeeklyPartitionsDefinition":
    """Every week of which there can be records."""
    return weeks_from(EARLIEST)


def specialist_weeks_of(specialists: Sequence[Specialist], first: str) -> "MultiPartitionsDefinition":
    """The partitions of these specialists, from this week on."""
    from dagster import MultiPartitionsDefinition, StaticPartitionsDefinition

    names = StaticPartitionsDefinition([str(specialist) for specialist in specialists])
    return MultiPartitionsDefinition({"week": weeks_from(first), "specialist": names})


def parse_specialist(name: str) -> Specialist:
    """The specialist with this name.

    Raises:
        UsageError: there is no such specialist.
    """
    specialist = configured_specialist(name)
    if specialist is None:
        raise UsageError(f"unknown specialist {name!r}. {_choice(name, [str(one) for one in all_specialists()])}")
    return specialist


def parse_week(week: str, *, first: str = EARLIEST) -> str:
    """The week that begins on that day; UsageError if there is none from the first one on."""
    known = weeks().has_partition_key(week)
    if week < first or not known:
        why = ": FIRST_WEEK and KEEP_WEEKS leave out those before" if known else ""
        raise UsageError(
            f"unknown week {week!r}. Name a week by its first day, a Sunday, as YYYY-MM-DD,"
            f" from {first} to {weeks().get_last_partition_key()}{why}"
        )
    return week


def _choice(name: str, known: list[str]) -> str:
    if len(known) <= _LISTED:
        return f"Choose one of {', '.join(known)}"
    close = " or ".join(difflib.get_close_matches(name, known, n=3))
    hint = f"Did you mean {close}? " if close else ""
    return f"{hint}SPECIALISTS_FILE names {len(known)} specialists"


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
    def parse(cls, week: str, specialist: str, *, first: str = EARLIEST) -> Self:
        """The partition of a week and a specialist that a person entered.

        Args:
            week: first day of the week.
            specialist: name of the specialist.
            first: the oldest week that can be meant. Records go back to EARLIEST, partitions to `first_week`.

        Raises:
            UsageError: the specialist is unknown, or no week of the platform begins on that day.
        """
        checked_specialist = parse_specialist(specialist)
        return cls(parse_week(week, first=first), checked_specialist)

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The partition with this Dagster partition key, be it one of those that there were once."""
        # Dagster sorts the dimensions by name.
        specialist, _, week = key.partition("|")
        return cls(week, recorded_specialist(specialist))

    @classmethod
    def named(cls, text: str) -> Self | None:
        """The partition with this key, for text that may be anything; None if it is no key."""
        name, _, week = text.partition("|")
        specialist = configured_specialist(name)
        return cls(week, specialist) if week and specialist else None

    @property
    def key(self) -> "MultiPartitionKey":
        """The Dagster partition key, `specialist|week`."""
        from dagster import MultiPartitionKey

        return MultiPartitionKey({"week": self.week, "specialist": str(self.specialist)})

    @property
    def week_end(self) -> datetime:
        """When the week ends: Sunday 00:00 UTC."""
        return end_of_week(self.week)

    def window(self, *, days: int, now: datetime) -> Window:
        """The window that ends with the week, or now if the week is still running; always this many days long.

        Raises:
            UsageError: the week has not begun yet, or no week begins on that day.
        """
        begin = self.week_end - WEEK
        if begin.isoweekday() != _SUNDAY:
            # Dagster takes any day from a program; its UI offers Sundays only.
            raise UsageError(f"unknown week {self.week!r}: name a week by its first day, a Sunday")
        if now < begin:
            raise UsageError(f"week {self.week} has not begun yet: it is now {now:%Y-%m-%d %H:%M} UTC")
        end = min(self.week_end, now)
        return Window(end - timedelta(days=days), end)


def end_of_week(week: str) -> datetime:
    """When the week that begins on this day ends: Sunday 00:00 UTC."""
    return datetime.strptime(week, _KEY_FORMAT).replace(tzinfo=UTC) + WEEK


def last_closed_week(now: datetime) -> str:
    """First day of the newest week that has ended by `now`."""
    return running_week(now - WEEK)


def first_week(now: datetime, keep: int, begin: str = EARLIEST) -> str:
    """First day of the oldest week that is a partition.

    Args:
        now: the current time.
        keep: so many weeks before the running one are partitions (KEEP_WEEKS).
        begin: no week before this one is (FIRST_WEEK).
    """
    running = running_week(now)
    return min(running, max(begin, running_week(now - keep * WEEK)))


def weeks_before(week: str, count: int) -> list[str]:
    """First days of this week and of those before it, `count` in all, newest first."""
    newest = end_of_week(week) - WEEK
    return [(newest - number * WEEK).strftime(_KEY_FORMAT) for number in range(count)]
