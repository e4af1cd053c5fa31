"""Thirty days of five specialists: the daemon launches exactly what the rules require.

The table of launches below is derived by hand from the feedback plan above it. The rules: on Sundays at 02:00, the week
that has closed, for every specialist without an outcome for it. At each evaluation (every four hours from 02:00), every
specialist that has 100 feedback documents since the end of its newest window, has no run in progress, and was last
triggered at least 24 hours ago.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from pymongo.database import Database

from nhm_assets.domain.partitions import Partition
from tests.support.dagster_internals import TickStatus
from tests.support.postgres import USER
from tests.support.retrainings import partition
from tests.support.reviews import review, review_at
from tests.support.simulated_days import Days, Fate, simulated_daemon
from tests.support.sqlite_instances import overrides


def at(text: str) -> datetime:
    """A moment of 2026 in UTC, written like `03-08 02:00`."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def every(step: timedelta, start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


def as_strings(count: int, moment: str) -> list[str]:
    """The times of a burst as another system writes them: ISO strings with an offset."""
    local = at(moment).astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+02:00").tzinfo)
    return [local.isoformat()] * count


def put_plan(database: Database[dict[str, Any]]) -> None:
    """Insert the feedback of all thirty days. A tick must not count what is after its own time."""
    # Busy: ten per hour, day and night, until the end of 03-17.
    hours = every(timedelta(hours=1), at("03-02 00:30"), at("03-18 00:00"))
    review_at(database, [moment for moment in hours for _ in range(10)], "technical")
    # Bursts. The last one is at the exact moment when a window ends.
    for count, moment in (
        (150, "03-04 13:30"),
        (99, "03-05 05:30"),
        (1, "03-05 08:30"),
        (500, "03-13 20:30"),
        (300, "03-14 13:30"),
        (120, "03-15 05:30"),
        (100, "03-22 00:00"),
    ):
        review_at(database, as_strings(count, moment), "business")
    # Quiet: three per day, and 500 with a date in the future from a wrong clock.
    noons = every(timedelta(days=1), at("03-02 12:30"), at("04-01 00:00"))
    review_at(database, [moment for moment in noons for _ in range(3)], "behavior")
    review(database, 500, at("04-15 00:00"), "behavior")
    # 120 during the daemon's outage. Later, a person retrains after the first 60 of 120.
    for count, moment in ((120, "03-15 23:30"), (60, "03-25 12:30"), (60, "03-27 12:30")):
        review(database, count, at(moment), "evolution")
    # Enough, but its runs break.
    review(database, 130, at("03-03 04:30"), "architecture")


def fate_of(specialist: str, now: datetime) -> Fate:
    """Runs of `technical` take five hours. Runs of `architecture` break until 03-10."""
    if specialist == "architecture":
        return Fate(breaks=now < at("03-10 00:00"))
    return Fate(takes=timedelta(hours=5 if specialist == "technical" else 0))


WEEKLY, VOLUME = "weekly_retraining_schedule", "feedback_volume_sensor"
Launch = tuple[str, str, str, str, int | None]


def weekly(moment: str, week: str, *specialists: str) -> list[Launch]:
    return [(moment, specialist, WEEKLY, week, None) for specialist in specialists]


EXPECTED: list[Launch] = [
    ("03-02 10:00", "technical", VOLUME, "03-01", 100),
    ("03-03 06:00", "architecture", VOLUME, "03-01", 130),
    ("03-03 10:00", "technical", VOLUME, "03-01", 240),
    ("03-04 06:00", "architecture", VOLUME, "03-01", 130),
    ("03-04 10:00", "technical", VOLUME, "03-01", 240),
    ("03-04 14:00", "business", VOLUME, "03-01", 150),
    ("03-05 06:00", "architecture", VOLUME, "03-01", 130),
    ("03-05 10:00", "technical", VOLUME, "03-01", 240),
    ("03-05 14:00", "business", VOLUME, "03-01", 100),
    ("03-06 06:00", "architecture", VOLUME, "03-01", 130),
    ("03-06 10:00", "technical", VOLUME, "03-01", 240),
    ("03-07 06:00", "architecture", VOLUME, "03-01", 130),
    ("03-07 10:00", "technical", VOLUME, "03-01", 240),
    *weekly("03-08 02:00", "03-01", "technical", "business", "behavior", "evolution", "architecture"),
    ("03-08 06:00", "architecture", VOLUME, "03-08", 130),
    ("03-08 10:00", "technical", VOLUME, "03-08", 100),
    ("03-09 06:00", "architecture", VOLUME, "03-08", 130),
    ("03-09 10:00", "technical", VOLUME, "03-08", 240),
    ("03-10 06:00", "architecture", VOLUME, "03-08", 130),
    ("03-10 10:00", "technical", VOLUME, "03-08", 240),
    ("03-11 10:00", "technical", VOLUME, "03-08", 240),
    ("03-12 10:00", "technical", VOLUME, "03-08", 240),
    ("03-13 10:00", "technical", VOLUME, "03-08", 240),
    ("03-13 22:00", "business", VOLUME, "03-08", 500),
    ("03-14 10:00", "technical", VOLUME, "03-08", 240),
    # From here to 03-16 10:00 the daemon is down.
    *weekly("03-16 10:00", "03-08", "technical", "business", "behavior", "evolution", "architecture"),
    ("03-16 14:00", "business", VOLUME, "03-15", 120),
    ("03-16 14:00", "evolution", VOLUME, "03-15", 120),
    ("03-16 18:00", "technical", VOLUME, "03-15", 420),
    ("03-17 18:00", "technical", VOLUME, "03-15", 240),
    # A person retrained `evolution` on that week an hour before, and does so again in the next week.
    *weekly("03-22 02:00", "03-15", "technical", "business", "behavior", "architecture"),
    ("03-22 06:00", "business", VOLUME, "03-22", 100),
    *weekly("03-29 02:00", "03-22", "technical", "business", "behavior", "evolution", "architecture"),
]


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.exhaustive)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings of an instance with this storage."""
    if request.param == "SQLite":
        return overrides(tmp_path)
    server, name = request.getfixturevalue("postgres"), f"days_{uuid.uuid4().hex[:12]}"
    server.new_database(name)
    address = f"postgresql+psycopg2://{USER}@127.0.0.1:{server.port}/{name}"
    return {"telemetry": {"enabled": False}, "storage": {"postgres": {"postgres_url": address}}}


@pytest.fixture
def days(
    tmp_path: Path,
    mongod_uri: str,
    database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    storage: dict[str, Any],
) -> Iterator[Days]:
    monkeypatch.setenv("MONGODB_URI", mongod_uri)
    monkeypatch.setenv("MONGODB_DATABASE", database.name)
    # So that thirty days have many launches.
    monkeypatch.setenv("RETRAINING_COOLDOWN_HOURS", "24")
    queue = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with (
        DagsterInstance.local_temp(str(tmp_path), overrides={"run_coordinator": queue, **storage}) as instance,
        simulated_daemon(instance, monkeypatch, fate_of) as daemon,
    ):
        yield daemon


def launches(days: Days, database: Database[dict[str, Any]]) -> Iterator[Launch]:
    """What schedule and sensor launched, read from Dagster's runs and from `retraining_triggers`."""
    counts = {trigger["_id"]: trigger.get("count") for trigger in database["retraining_triggers"].find()}
    for run in days.instance.get_runs():
        if requested_at := run.tags.get(".dagster/nhm_asked_at"):
            partition = Partition.from_key(run.tags["dagster/partition"])
            moment = f"{datetime.fromisoformat(requested_at):%m-%d %H:%M}"
            yield (
                moment,
                str(partition.specialist),
                run.tags["nhm/actor"],
                partition.week[5:],
                counts[run.tags["nhm/trigger"]],
            )


@pytest.mark.servers
@pytest.mark.slow
def test_the_launches_of_thirty_days_are_exactly_those_that_the_rules_require(
    days: Days, database: Database[dict[str, Any]]
):
    put_plan(database)
    days.advance(at("03-02 02:00"), at("03-14 12:00"))
    days.advance(at("03-16 10:00"), at("03-22 00:00"))
    days.retrain_by_hand(partition("2026-03-15", "evolution"), at("03-22 01:00"))
    days.advance(at("03-22 02:00"), at("03-26 09:00"))
    days.retrain_by_hand(partition("2026-03-22", "evolution"), at("03-26 09:00"))
    days.advance(at("03-26 10:00"), at("04-01 00:00"))
    assert {tick.status for tick in days.ticks()} == {TickStatus.SUCCESS, TickStatus.SKIPPED}
    assert sorted(launches(days, database)) == sorted(EXPECTED)
    assert len(days.instance.get_runs()) == len(EXPECTED) + 2
