"""Which version served when: promotions, restarts, and the gap between them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from nhm_assets.served.serving_times import serving_times

START = datetime(2026, 3, 1, tzinfo=UTC)
LATE = START + timedelta(days=60)


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def move(version: str, at: float, **fields: Any) -> dict[str, Any]:
    return {"version": version, "at": hours(at), "kind": "promoted", **fields}


def restart(version: str, at: float, *, ended: float | None, result: str | None = "rolled out") -> dict[str, Any]:
    end = {} if ended is None else {"released_at": hours(ended), "result": result}
    return {"registered_model": "technical-evaluator", "version": version, "at": hours(at), **end}


def test_opinions_between_promotion_and_the_end_of_the_restart_belong_to_no_version():
    times = serving_times([move("1", 0), move("2", 10)], [restart("1", 0, ended=1), restart("2", 10, ended=12)], LATE)
    assert [times.in_gap(hours(moment)) for moment in (0.5, 1, 9.9, 10, 11.9, 12, 500)] == [
        *(True, False, False),
        *(True, True, False, False),
    ]
    assert times.at(hours(11)).version == "2"
    assert times.at(hours(-1)) is None
    assert not times.in_gap(hours(-1))


def test_a_restart_that_failed_or_goes_on_leaves_the_gap_open():
    for ended, result in ((12, "failed"), (12, "interrupted"), (None, None)):
        times = serving_times([move("2", 10)], [restart("2", 10, ended=ended, result=result)], LATE)
        assert times.in_gap(hours(400))


def test_a_later_restart_of_the_same_version_closes_the_gap():
    restarts = [restart("2", 10, ended=11, result="failed"), restart("2", 20, ended=21, result="already running")]
    times = serving_times([move("2", 10)], restarts, LATE)
    assert times.in_gap(hours(20.9))
    assert not times.in_gap(hours(21))


def test_without_a_recorded_restart_the_number_is_believed():
    times = serving_times([move("2", 10)], [], LATE)
    assert not times.in_gap(hours(10))


def test_a_replaced_version_is_unexpected_once_repeated_opinions_have_expired():
    times = serving_times([move("1", 0), move("2", 10)], [restart("2", 10, ended=12)], LATE)
    assert not times.is_unexpected(hours(12.5), "1")
    assert times.is_unexpected(hours(13), "1")
    assert not times.is_unexpected(hours(13), "2")
    assert not times.is_unexpected(hours(5), "1")


def test_what_happened_later_does_not_change_the_past():
    moves, restarts = [move("1", 0), move("2", 10)], [restart("1", 0, ended=1), restart("2", 10, ended=12)]
    assert serving_times(moves, restarts, hours(5)) == serving_times(moves[:1], restarts[:1], hours(5))


def test_a_move_by_somebody_else_that_was_taken_back_does_not_count():
    moves = [move("1", 0), move("9", 5, kind="foreign_move", settled_at=hours(6))]
    assert serving_times(moves, [], LATE).at(hours(7)).version == "1"


def test_with_another_clock_the_duration_says_when_a_restart_ended():
    far = {**restart("1", 0, ended=None), "released_at": LATE, "seconds": 90.0, "result": "rolled out"}
    times = serving_times([move("1", 0)], [far], LATE)
    assert times.servings[0].loaded == START + timedelta(seconds=90)


def test_nothing_is_known_without_entries():
    times = serving_times([], [restart("1", 0, ended=1)], LATE)
    assert times.at(hours(3)) is None
    assert not times.in_gap(hours(3))
    assert not times.is_unexpected(hours(3), "1")
