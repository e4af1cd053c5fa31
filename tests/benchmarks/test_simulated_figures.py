"""The simulation of weeks notices runs that are launched out of order, and too many at a time."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.simulated_figures import _most_at_a_time, _overtaken


def record(run_id: str, start: float | None = 0, end: float | None = 1) -> Any:
    return SimpleNamespace(dagster_run=SimpleNamespace(run_id=run_id), start_time=start, end_time=end)


@pytest.mark.parametrize(("launched", "count"), [("abcd", 0), ("bacd", 1), ("badc", 2), ("dabc", 1), ("acd", 0)])
def test_launches_before_earlier_requests_are_counted(launched: str, count: int):
    week: Any = SimpleNamespace(records=[record(one) for one in "abcd"], launched=list(launched))
    assert _overtaken(week) == count


def test_runs_at_a_time_are_those_between_start_and_end():
    one_after_the_other = [record("a", 0, 2), record("b", 2, 3), record("c", 3, 9)]
    assert _most_at_a_time(one_after_the_other) == 1
    assert _most_at_a_time([*one_after_the_other, record("d", 1, 4)]) == 2
    assert _most_at_a_time([*one_after_the_other, record("never started", None, None)]) == 1
