"""From when on the volume sensor counts feedback: the end of the window that a specialist last learned from."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from nhm_assets.domain.outcomes import OUTCOME_TAG
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.runs import datasets
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_dataset, put_run

TECHNICAL = Specialist("technical")


def learned_until(instance: DagsterInstance, specialist: Specialist) -> datetime | None:
    """What both ways say: asked for one specialist, and for all at once."""
    alone = datasets.learned_until(instance, specialist)
    assert datasets.learned_until_of_all(instance, FIVE, "2026-03-15")[specialist] == alone
    return alone


def test_without_a_dataset_there_is_no_window(platform: Platform):
    put_dataset(platform.instance, partition("2026-03-01", "business"), NOW)
    assert learned_until(platform.instance, TECHNICAL) is None


def test_the_newest_week_counts_and_of_it_the_newest_dataset(platform: Platform):
    middle = datetime(2026, 3, 4, 7, 30, tzinfo=UTC)
    put_dataset(platform.instance, partition("2026-03-01"), middle)
    assert learned_until(platform.instance, TECHNICAL) == middle
    put_dataset(platform.instance, partition("2026-03-01"), partition("2026-03-01").week_end)
    put_dataset(platform.instance, partition("2026-01-04"), partition("2026-01-04").week_end)
    assert learned_until(platform.instance, TECHNICAL) == partition("2026-03-01").week_end
    later = partition("2026-03-08").week_end - timedelta(days=3)
    put_dataset(platform.instance, partition("2026-03-08"), later)
    assert learned_until(platform.instance, TECHNICAL) == later


SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE


@pytest.mark.parametrize(
    ("status", "tags", "learned"),
    [
        (SUCCESS, {OUTCOME_TAG: "promoted"}, True),
        (SUCCESS, {OUTCOME_TAG: "held"}, True),
        (SUCCESS, {OUTCOME_TAG: "unchanged"}, True),
        (SUCCESS, {}, False),
        (FAILURE, {OUTCOME_TAG: "broken"}, False),
        (FAILURE, {OUTCOME_TAG: "refused"}, False),
        (DagsterRunStatus.CANCELED, {}, False),
    ],
)
def test_a_dataset_counts_if_its_run_came_to_an_outcome(
    platform: Platform,
    status: DagsterRunStatus,
    tags: dict[str, str],
    learned: bool,  # noqa: FBT001 - a table
):
    """A run that broke after its dataset has learned nothing: its feedback is still new."""
    before, newest = partition("2026-03-01"), partition("2026-03-08")
    put_dataset(platform.instance, before, before.week_end)
    run_id = put_run(platform.instance, newest, status=status, tags=tags)
    put_dataset(platform.instance, newest, newest.week_end, run_id=run_id)
    assert learned_until(platform.instance, TECHNICAL) == (newest if learned else before).week_end


def test_of_one_week_the_newest_dataset_that_was_used_counts(platform: Platform):
    week = partition("2026-03-08")
    for days, outcome in ((3, "held"), (1, "broken")):
        run_id = put_run(platform.instance, week, tags={OUTCOME_TAG: outcome})
        put_dataset(platform.instance, week, week.week_end - timedelta(days=days), run_id=run_id)
    assert learned_until(platform.instance, TECHNICAL) == week.week_end - timedelta(days=3)


def test_a_dataset_of_long_ago_is_found_among_recent_ones_of_others(platform: Platform):
    put_dataset(platform.instance, partition("2026-03-08", "business"), NOW)
    put_dataset(platform.instance, partition("2026-01-04"), partition("2026-01-04").week_end)
    assert learned_until(platform.instance, TECHNICAL) == partition("2026-01-04").week_end
    assert learned_until(platform.instance, Specialist("business")) == NOW


def test_many_specialists_with_recent_datasets_cost_no_listing_of_all_weeks(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    for specialist in FIVE:
        put_dataset(platform.instance, partition("2026-03-08", specialist), NOW)
    monkeypatch.delattr(datasets, "_weeks_of_datasets")
    found = datasets.learned_until_of_all(platform.instance, FIVE, "2026-03-15")
    assert found == dict.fromkeys(FIVE, NOW)
