"""Partitions: weeks, keys and training windows."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.partitions import (
    Partition,
    Window,
    first_week,
    last_closed_week,
    parse_specialist,
    specialist_weeks_of,
    weeks,
)
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.steps.partitions import specialist_weeks
from tests.support.configured import configured

SATURDAY_NIGHT = datetime(2026, 3, 7, 23, 59, 59, tzinfo=UTC)


def test_weeks_run_from_sunday_to_sunday_and_include_the_running_one():
    assert weeks().get_partition_keys(current_time=SATURDAY_NIGHT) == [
        "2026-01-04",
        "2026-01-11",
        "2026-01-18",
        "2026-01-25",
        "2026-02-01",
        "2026-02-08",
        "2026-02-15",
        "2026-02-22",
        "2026-03-01",
    ]
    assert weeks().get_partition_keys(current_time=SATURDAY_NIGHT + timedelta(seconds=1))[-1] == "2026-03-08"


def test_a_partition_is_a_week_of_one_of_five_specialists():
    assert FIVE == ("technical", "business", "behavior", "evolution", "architecture")
    names = {dimension.name: dimension.partitions_def for dimension in specialist_weeks.partitions_defs}
    assert names["specialist"].get_partition_keys() == list(FIVE)
    assert names["week"] == weeks()


@pytest.mark.parametrize("specialist", FIVE)
def test_a_partition_is_restored_from_its_key(specialist: str):
    partition = Partition.parse("2026-03-01", specialist)
    assert str(partition.key) == f"{specialist}|2026-03-01"
    assert Partition.from_key(str(partition.key)) == partition
    assert partition.specialist == Specialist(specialist)


@pytest.mark.parametrize(
    "week", ["2026-03-02", "2025-12-28", "2026-3-1", "2026-03-01T00:00", "", "latest", "9999-01-03"]
)
def test_an_unknown_week_is_refused_and_named(week: str):
    with pytest.raises(UsageError, match=f"unknown week {week!r}.*from 2026-01-04"):
        Partition.parse(week, "technical")


def test_a_week_before_the_first_one_is_refused_and_the_settings_that_say_so_are_named():
    with pytest.raises(UsageError, match=r"from 2026-03-08 to \S+: FIRST_WEEK and KEEP_WEEKS leave out those before$"):
        Partition.parse("2026-03-01", "technical", first="2026-03-08")


@pytest.mark.parametrize("specialist", ["Technical", "technicall", "", "technical "])
def test_an_unknown_specialist_is_refused_and_the_known_ones_are_named(specialist: str):
    with pytest.raises(UsageError, match=f"unknown specialist {specialist!r}.*technical, business, behavior"):
        Partition.parse("2026-03-01", specialist)


def test_with_many_specialists_an_error_names_those_that_are_near():
    with configured(*(Specialist(f"unit-{number:03d}") for number in range(500))):
        with pytest.raises(UsageError, match=r"'unit-1234'\. Did you mean unit-.* or .*names 500 specialists$"):
            parse_specialist("unit-1234")
        assert parse_specialist("unit-123") == "unit-123"


def test_records_of_a_specialist_that_was_taken_out_stay_readable():
    own = Specialist("data-quality", model="dq")
    with configured(*FIVE, own):
        assert Partition.from_key("data-quality|2026-03-01").specialist.registered_model == "dq"
        assert Partition.named("data-quality|2026-03-01") == Partition("2026-03-01", own)
    assert Partition.from_key("data-quality|2026-03-01") == Partition("2026-03-01", own)
    assert Partition.named("data-quality|2026-03-01") is None
    with pytest.raises(UsageError, match="unknown specialist 'data-quality'"):
        Partition.parse("2026-03-01", "data-quality")


@pytest.mark.parametrize(
    ("now", "keep", "first"),
    [
        (datetime(2026, 3, 7, tzinfo=UTC), 156, "2026-01-04"),
        (datetime(2026, 3, 7, tzinfo=UTC), 2, "2026-02-15"),
        (datetime(2029, 1, 2, tzinfo=UTC), 156, "2026-01-04"),
        (datetime(2029, 1, 7, tzinfo=UTC), 156, "2026-01-11"),
    ],
)
def test_old_weeks_leave_the_partitions_and_their_records_stay_readable(now: datetime, keep: int, first: str):
    assert first_week(now, keep) == first
    partitions = specialist_weeks_of(FIVE, first)
    keys = partitions.get_partition_keys(current_time=now)
    assert len(keys) <= 5 * (keep + 1)
    assert keys[0] == f"technical|{first}"
    assert Partition.from_key("technical|2026-01-04").week_end == datetime(2026, 1, 11, tzinfo=UTC)


def test_five_hundred_specialists_stay_below_the_keys_that_dagster_recommends():
    now = datetime(2032, 1, 7, tzinfo=UTC)
    many = [Specialist(f"unit-{number}") for number in range(500)]
    assert len(specialist_weeks_of(many, first_week(now, 156)).get_partition_keys(current_time=now)) < 100_000


def test_a_day_that_begins_no_week_has_no_window():
    """Dagster takes any day as a key from programs, and would record the dataset under another week."""
    monday = Partition.from_key("technical|2026-11-16")
    with pytest.raises(UsageError, match="unknown week '2026-11-16': name a week by its first day, a Sunday"):
        monday.window(days=30, now=datetime(2026, 12, 1, tzinfo=UTC))


def test_the_window_of_a_closed_week_ends_with_the_week():
    partition = Partition.parse("2026-03-01", "technical")
    long_after = datetime(2026, 6, 1, tzinfo=UTC)
    assert partition.window(days=30, now=long_after) == Window(
        datetime(2026, 2, 6, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC)
    )
    assert partition.window(days=7, now=partition.week_end).start == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("into", [timedelta(), timedelta(minutes=30), timedelta(days=3), timedelta(days=7)])
@pytest.mark.parametrize("days", [1, 30])
def test_the_window_of_the_running_week_ends_now_and_is_as_long_as_any_other(into: timedelta, days: int):
    """A run half an hour into the week learned from 23 days, and displaced the weekly run's 30."""
    partition = Partition.parse("2026-03-01", "technical")
    now = partition.week_end - timedelta(days=7) + into
    assert partition.window(days=days, now=now) == Window(now - timedelta(days=days), now)


@pytest.mark.parametrize(
    ("now", "week"),
    [
        (datetime(2026, 11, 22, 2, tzinfo=UTC), "2026-11-15"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-15"),
        (datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC), "2026-11-08"),
        (datetime(2026, 11, 25, 12, tzinfo=UTC), "2026-11-15"),
        (datetime(2027, 1, 3, tzinfo=UTC), "2026-12-27"),
        (datetime(2026, 11, 21, 23, tzinfo=timezone(timedelta(hours=-5))), "2026-11-15"),
        (datetime(2026, 11, 22, 5, tzinfo=timezone(timedelta(hours=9))), "2026-11-08"),
    ],
)
def test_the_last_closed_week_ended_at_or_before_now(now: datetime, week: str):
    assert last_closed_week(now) == week
