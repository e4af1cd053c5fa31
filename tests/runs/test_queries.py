"""What the platform reads from Dagster's records of runs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from dagster import AssetKey, DagsterRun, DagsterRunStatus

from nhm_assets.domain.dagster_names import INCREMENT_CONFIG, SERVED_QUALITY_JOB
from nhm_assets.domain.outcomes import HELD_AS_TAG, OUTCOME_TAG, Outcome
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.queries import (
    IN_PROGRESS,
    ended_as,
    held_as,
    is_increment,
    is_whole,
    last_ended_runs,
    only_measures,
    outcome_of,
    record_with_key,
    run_in_progress,
    submitted,
)
from nhm_assets.runs.tags import attempts
from tests.support.platform import Platform
from tests.support.retrainings import MODELS_LOADED, partition, put_run
from tests.support.wiped import session_platform, wiped

__all__ = ["session_platform", "wiped"]

TECHNICAL = Specialist("technical")
SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


def run(platform: Platform, status: DagsterRunStatus, tags: Mapping[str, str] | None = None, parent: str | None = None):
    found = platform.instance.get_run_by_id(put_run(platform.instance, status=status, tags=tags, parent=parent))
    assert found is not None
    return found


@pytest.mark.parametrize("status", IN_PROGRESS)
@pytest.mark.parametrize("tag", [None, "broken", "promoted"])
def test_a_run_in_progress_has_no_outcome(wiped: Platform, status: DagsterRunStatus, tag: str | None):
    assert outcome_of(run(wiped, status, {OUTCOME_TAG: tag} if tag else {})) is None


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
@pytest.mark.parametrize("tag", [None, *map(str, Outcome)])
def test_a_run_that_failed_or_was_canceled_is_broken_or_refused_whatever_its_tag_says(
    wiped: Platform, status: DagsterRunStatus, tag: str | None
):
    if (status, tag) == (FAILURE, Outcome.REFUSED):
        assert outcome_of(run(wiped, status, {OUTCOME_TAG: "refused"})) is Outcome.REFUSED
        return
    assert outcome_of(run(wiped, status, {OUTCOME_TAG: tag} if tag else {})) is Outcome.BROKEN


@pytest.mark.parametrize("tag", [None, *map(str, Outcome)])
def test_a_successful_run_has_the_outcome_of_its_tag_and_is_never_broken(wiped: Platform, tag: str | None):
    """A retry inherits the tag of the run that broke."""
    expected = None if tag in (None, Outcome.BROKEN, Outcome.REFUSED) else tag
    assert outcome_of(run(wiped, SUCCESS, {OUTCOME_TAG: tag} if tag else {})) == expected


@pytest.mark.parametrize(("tag", "word"), [("rolled_back", "rolled_back"), ("of another release", "success")])
def test_a_word_that_is_no_outcome_of_a_partition_is_none(wiped: Platform, tag: str, word: str):
    ended = run(wiped, SUCCESS, {OUTCOME_TAG: tag, HELD_AS_TAG: tag})
    assert (outcome_of(ended), held_as(ended), ended_as(ended)) == (None, None, word)
    assert ended_as(run(wiped, FAILURE, {OUTCOME_TAG: tag})) == "broken"
    assert ended_as(run(wiped, DagsterRunStatus.STARTED, {OUTCOME_TAG: tag})) == "started"
    assert held_as(run(wiped, SUCCESS, {OUTCOME_TAG: "held", HELD_AS_TAG: tag})) is None


def test_the_attempts_of_a_run_are_itself_and_the_runs_that_it_retries(wiped: Platform):
    first = run(wiped, FAILURE)
    second = run(wiped, FAILURE, {"dagster/retry_number": "1"}, first.run_id)
    assert attempts(first) == {first.run_id}
    assert attempts(second) == {first.run_id, second.run_id}


def test_a_run_that_was_started_over_names_all_attempts_before_it(wiped: Platform):
    tags = {"dagster/retry_number": "3", "dagster/parent_run_id": "c", "dagster/root_run_id": "a"}
    third = run(wiped, FAILURE, tags | {".dagster/nhm_attempts": "a,b,c"})
    assert attempts(third) == {"a", "b", "c", third.run_id}


def test_a_re_execution_by_a_person_is_no_further_attempt(wiped: Platform):
    first = run(wiped, FAILURE)
    again = run(wiped, SUCCESS, parent=first.run_id)
    assert attempts(again) == {again.run_id}


@pytest.mark.parametrize("status", [*IN_PROGRESS, SUCCESS, FAILURE, CANCELED])
def test_a_run_is_in_progress_until_it_ends(wiped: Platform, status: DagsterRunStatus):
    run_id = put_run(wiped.instance, partition("2026-01-04"), status=status)
    put_run(wiped.instance, partition("2026-03-01", "business"), status=DagsterRunStatus.STARTED)
    found = run_in_progress(wiped.instance, TECHNICAL)
    assert (found.run_id if found else None) == (None if status in (SUCCESS, FAILURE, CANCELED) else run_id)


def test_the_first_of_several_runs_with_the_same_key_counts(wiped: Platform):
    """A retry inherits the key."""
    assert record_with_key(wiped.instance, "key") is None
    first = put_run(wiped.instance, tags={"dagster/run_key": "key"}, status=FAILURE)
    put_run(wiped.instance, tags={"dagster/run_key": "key"}, parent=first)
    put_run(wiped.instance, tags={"dagster/run_key": "another"})
    found = record_with_key(wiped.instance, "key")
    assert found is not None
    assert found.dagster_run.run_id == first


@pytest.mark.parametrize(
    ("status", "tags", "expected"),
    [
        (DagsterRunStatus.NOT_STARTED, {"dagster/run_key": "key"}, False),
        (DagsterRunStatus.NOT_STARTED, {}, True),
        (DagsterRunStatus.QUEUED, {"dagster/run_key": "key"}, True),
        (SUCCESS, {"dagster/run_key": "key"}, True),
    ],
)
def test_a_run_that_was_created_for_a_key_and_not_started_is_not_submitted(
    wiped: Platform,
    status: DagsterRunStatus,
    tags: dict[str, str],
    expected: bool,  # noqa: FBT001 - a table
):
    assert submitted(run(wiped, status, tags)) is expected


def test_the_last_run_is_the_newest_of_ten_that_decided_something_or_broke(wiped: Platform):
    """Whether it is among the newest of all specialists, behind many others, or behind ten that decided nothing."""
    put, promoted = partial(put_run, wiped.instance), {OUTCOME_TAG: "promoted"}
    expected = {"evolution": put(partition(specialist="evolution"), tags=promoted)}
    put(partition(specialist="architecture"), tags=promoted)
    for _ in range(10):
        put(partition(specialist="architecture"))
    for _ in range(30):
        expected["business"] = put(partition(specialist="business"), tags=promoted)
    expected["technical"] = put(partition(specialist="technical"), status=FAILURE)
    put(partition(specialist="technical"), tags=promoted, only=["served_quality"])
    put(partition(specialist="technical"), status=FAILURE, tags={OUTCOME_TAG: "refused"})
    put(partition(specialist="technical"), status=DagsterRunStatus.STARTED)
    for _ in range(30):
        put(partition(specialist="technical"), job=SERVED_QUALITY_JOB)
    found = last_ended_runs(wiped.instance, [*map(Specialist, (*expected, "architecture", "behavior"))])
    assert {name: record.dagster_run.run_id for name, record in found.items()} == expected


@pytest.mark.parametrize(
    ("job", "selected", "measures", "whole"),
    [
        ("specialist_retraining", None, False, True),
        ("served_quality_job", None, True, False),
        ("__ASSET_JOB", ["served_quality"], True, False),
        ("__ASSET_JOB", ["served_quality", "specialist_rollout"], False, False),
        ("__ASSET_JOB", ["feedback_dataset", "promoted_version", "served_quality"], False, True),
    ],
)
def test_a_run_that_only_measures_what_is_served_is_no_retraining(
    job: str, selected: list[str] | None, measures: object, whole: object
):
    """It settles no week, and nobody is told of its outcome."""
    selection = frozenset(map(AssetKey, selected)) if selected else None
    made = DagsterRun(job_name=job, asset_selection=selection)
    assert (only_measures(made), is_whole(made)) == (measures, whole)


def test_a_run_of_checks_alone_is_no_retraining():
    """The UI's button to execute a check selects that check and no assets."""
    made = DagsterRun(job_name="__ASSET_JOB", asset_check_selection=frozenset([MODELS_LOADED]))
    assert (only_measures(made), is_whole(made)) == (True, False)


def test_a_retraining_may_leave_out_all_checks():
    made = DagsterRun(job_name="specialist_retraining", asset_check_selection=frozenset())
    assert (only_measures(made), is_whole(made)) == (False, True)


@pytest.mark.parametrize(
    ("config", "increment"),
    [
        (INCREMENT_CONFIG, True),
        ({}, False),
        ({"ops": {"trained_model": {"config": {"force": True}}}}, False),
        ({"ops": {"trained_model": {"config": {"increment": False}}}}, False),
        ({"ops": {"trained_model": None}}, False),
    ],
)
def test_an_increment_is_known_by_what_its_run_was_asked_for(config: dict[str, Any], increment: object):
    assert is_increment(DagsterRun(job_name="specialist_retraining", run_config=config)) == increment
