"""The cursor of the sensor on ended runs: it saves work and decides nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from resources.notifiers import Notifier
from tests.support.ended_runs import HELD, PROMOTED, put_ended_run, recorded_triggers
from tests.support.notified import Receiver
from tests.support.platform import Platform
from tests.support.retrainings import put_run
from tests.support.ticks import outcome_tick

CURSORS = ["", "0", "2026-03-20", "1999-01-01T00:00:00+00:00", '{"run": 7}', "\x00"]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_lost_or_foreign_cursor_repeats_nothing_and_loses_nothing(
    platform: Platform, hooked: tuple[Receiver, Notifier], cursor: str
):
    there, webhook = hooked
    put_ended_run(platform)
    outcome_tick(platform, [webhook])
    second = put_ended_run(platform, HELD)
    outcome_tick(platform, [webhook], cursor=cursor)
    outcome_tick(platform, [webhook], cursor=cursor)
    assert [one["outcome"] for one in there.retrainings] == ["promoted", "held"]
    assert recorded_triggers(platform)[second]["outcome"] == "held"


def test_a_cursor_in_the_future_is_ignored(platform: Platform):
    """A wrong clock would otherwise keep every run until then from being reported."""
    run_id = put_ended_run(platform)
    tick = outcome_tick(platform, cursor="2099-01-01T00:00:00+00:00")
    assert recorded_triggers(platform)[run_id]["outcome"] == "promoted"
    assert tick.cursor is not None
    assert datetime.fromisoformat(tick.cursor) <= datetime.now(UTC)


def test_the_cursor_advances_and_skips_no_run(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    cursor = None
    for turn in range(3):
        for number in range(turn):
            put_ended_run(platform, at=datetime.now(UTC) - timedelta(minutes=60 - 20 * turn, seconds=number))
        cursor = outcome_tick(platform, [webhook], cursor=cursor).cursor
    assert len(there.retrainings) == 3
    assert len(recorded_triggers(platform)) == 3


def test_more_runs_than_fit_one_tick_are_reported_by_the_next_ticks(platform: Platform):
    """A daemon that comes back marks all interrupted runs as failed at the same moment."""
    ids = [put_run(platform.instance, tags=PROMOTED) for _ in range(55)]
    first = outcome_tick(platform)
    assert "outcomes reported: 50, to be tried again: 5" in first.says
    outcome_tick(platform, cursor=first.cursor)
    assert set(recorded_triggers(platform)) == set(ids)
