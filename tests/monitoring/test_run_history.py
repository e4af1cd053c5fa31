"""How the specialists' newest runs ended, and what is counted."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterEventType, DagsterRunStatus

from nhm_assets.domain.outcomes import BELOW_IN_A_ROW_TAG, OUTCOME_TAG, TRANSIENT_TAG, VERSION_TAG, Outcome
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.metric import Distribution, Metric, Readings
from nhm_assets.monitoring.run_history import RunHistory
from nhm_assets.runs.tags import REPORTED_TAG, WILL_RETRY_TAG
from tests.support.platform import Platform
from tests.support.retrainings import MODELS_LOADED, end_run, put_run

TECHNICAL = "technical"


def ended(platform: Platform, outcome: str | None = None, **tags: str) -> str:
    """A run that ends now; without an outcome it fails."""
    own = {OUTCOME_TAG: outcome} if outcome else {}
    run = put_run(platform.instance, status=DagsterRunStatus.STARTED, tags=own | tags)
    failed = outcome in (None, Outcome.REFUSED)
    end_run(platform.instance, run, DagsterEventType.RUN_FAILURE if failed else DagsterEventType.RUN_SUCCESS)
    return run


def shown(platform: Platform, history: RunHistory, *, busy: set[str] | None = None) -> Readings:
    history.update(platform.instance)
    readings = Readings()
    history.put(readings, platform.instance, platform.settings, busy or set())
    return readings


def value(readings: Readings, metric: Metric, *labels: str) -> float | Distribution | None:
    return readings.values.get(metric, {}).get(labels)


def last_outcome(readings: Readings) -> list[str]:
    series = readings.values.get(own_metrics.LAST_OUTCOME, {})
    return [outcome for (name, outcome), state in series.items() if name == TECHNICAL and state]


def test_without_runs_there_is_no_outcome_and_the_counters_are_zero(platform: Platform):
    readings = shown(platform, RunHistory())
    assert last_outcome(readings) == []
    assert value(readings, own_metrics.RUNS_ENDED, TECHNICAL, "broken") == 0
    assert value(readings, field_metrics.TRIGGERS, TECHNICAL, "failed") == 0


@pytest.mark.parametrize("outcome", ["held", "superseded", "insufficient_data", "promoted"])
def test_an_outcome_is_not_broken(platform: Platform, outcome: str):
    ended(platform, outcome)
    readings = shown(platform, RunHistory())
    assert last_outcome(readings) == [outcome]
    assert value(readings, own_metrics.CONSECUTIVE_BROKEN, TECHNICAL) == 0


def test_broken_runs_are_counted_back_to_the_last_that_was_not(platform: Platform):
    for outcome in (None, "held", None, None):
        ended(platform, outcome)
    readings = shown(platform, RunHistory())
    assert last_outcome(readings) == ["broken"]
    assert value(readings, own_metrics.CONSECUTIVE_BROKEN, TECHNICAL) == 2
    assert value(readings, own_metrics.RETRY_PENDING, TECHNICAL) == 0


def test_candidates_below_the_line_are_counted_as_the_newest_run_with_a_candidate_says(platform: Platform):
    ended(platform, "held", **{BELOW_IN_A_ROW_TAG: "3"})
    ended(platform, "insufficient_data", **{BELOW_IN_A_ROW_TAG: ""})
    ended(platform)
    # An increment that would not have been better than what serves: there was no candidate.
    ended(platform, "unchanged")
    # An older week that somebody retrains, once and again.
    ended(platform, "superseded", **{VERSION_TAG: "9"})
    ended(platform, "unchanged", **{VERSION_TAG: "9"})
    assert value(shown(platform, RunHistory()), own_metrics.BELOW_IN_A_ROW, TECHNICAL) == 3
    ended(platform, "held", **{BELOW_IN_A_ROW_TAG: ""})
    assert value(shown(platform, RunHistory()), own_metrics.BELOW_IN_A_ROW, TECHNICAL) == 0


def test_a_refused_request_says_nothing_about_the_specialist(platform: Platform):
    ended(platform, "held")
    ended(platform, "refused")
    assert last_outcome(shown(platform, RunHistory())) == ["held"]


def test_only_a_whole_retraining_counts_as_requested(platform: Platform):
    """Others look at this time to see whether a specialist was just retrained."""
    run = platform.instance.get_run_record_by_id(ended(platform, "held"))
    put_run(platform.instance, only=["promoted_version"], status=DagsterRunStatus.FAILURE)
    put_run(platform.instance, checks=[MODELS_LOADED])
    requested = value(shown(platform, RunHistory()), field_metrics.LAST_TRIGGER, TECHNICAL)
    assert run
    assert requested == run.create_timestamp.timestamp()


@pytest.mark.parametrize(
    ("tags", "busy"),
    [({WILL_RETRY_TAG: "true"}, set()), ({TRANSIENT_TAG: "true"}, set()), ({}, {TECHNICAL})],
    ids=["retried by Dagster", "started over later", "another run in progress"],
)
def test_a_broken_run_that_is_done_again_waits_for_its_retry(platform: Platform, tags: dict[str, str], busy: set[str]):
    ended(platform, **tags)
    assert value(shown(platform, RunHistory(), busy=busy), own_metrics.RETRY_PENDING, TECHNICAL) == 1


def test_a_run_counts_once_however_often_it_is_read_again(platform: Platform):
    history = RunHistory()
    shown(platform, history)
    run = ended(platform, "promoted")
    for number in range(3):
        readings = shown(platform, history)
        platform.instance.add_run_tags(run, {REPORTED_TAG: str(number)})
    assert value(readings, own_metrics.RUNS_ENDED, TECHNICAL, "promoted") == 1
    assert value(readings, field_metrics.TRIGGERS, TECHNICAL, "success") == 1


def test_runs_from_before_the_start_are_shown_but_not_counted(platform: Platform):
    """Otherwise every restart of the exporter would look like an increase by all of them."""
    ended(platform)
    readings = shown(platform, RunHistory(since=datetime.now(UTC) + timedelta(minutes=1)))
    assert last_outcome(readings) == ["broken"]
    assert value(readings, own_metrics.RUNS_ENDED, TECHNICAL, "broken") == 0


def test_a_histogram_counts_each_value_at_its_bound_and_above():
    seconds = Distribution.empty((1.0, 10.0)).plus(1.0).plus(5.0).plus(11.0)
    assert seconds.cumulative() == [("1.0", 1.0), ("10.0", 2.0), ("+Inf", 3.0)]
    assert seconds.total == 17.0
