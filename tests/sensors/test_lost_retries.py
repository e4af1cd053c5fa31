"""A run whose process died is started over, even where Dagster has marked it for that and passed it over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunRequest, build_sensor_context
from dagster._core.test_utils import freeze_time

from nhm_assets.runs import attempts
from sensors.lost_retries import lost_retry_sensor
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_run

LATER = timedelta(minutes=10)
MARKED = {"dagster/will_retry": "true", "nhm/trigger": "weekly:technical"}


def dead_run(platform: Platform, **how: Any) -> str:
    return put_run(platform.instance, **{"status": DagsterRunStatus.FAILURE, "tags": MARKED} | how)


def requests(platform: Platform, *, later: timedelta = LATER) -> list[RunRequest]:
    context = build_sensor_context(instance=platform.instance)
    with freeze_time(datetime.now(UTC) + later):
        return [one for one in lost_retry_sensor(context) if isinstance(one, RunRequest)]


def test_a_marked_run_that_nobody_retried_is_asked_for_once(platform: Platform):
    run_id = dead_run(platform)
    (first,), (second,) = requests(platform), requests(platform)
    assert first.partition_key == partition().key
    assert first.run_key == second.run_key == f"lost-retry:{run_id}"


def test_the_new_run_is_a_further_attempt_of_the_same_trigger(platform: Platform):
    run_id = dead_run(platform, tags={**MARKED, "dagster/retry_number": "1"}, parent="first-attempt")
    (request,) = requests(platform)
    started = put_run(platform.instance, tags=request.tags)
    run = platform.instance.get_run_by_id(started)
    assert attempts(run) == {started, run_id, "first-attempt"}
    assert run.tags["nhm/trigger"] == MARKED["nhm/trigger"]
    assert "dagster/will_retry" not in request.tags


def test_what_a_run_of_a_part_materialized_its_retry_does_too(platform: Platform):
    dead_run(platform, only=["feedback_dataset"])
    (request,) = requests(platform)
    assert [key.to_user_string() for key in request.asset_selection] == ["feedback_dataset"]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"tags": {"dagster/will_retry": "false"}}, id="not to be retried"),
        pytest.param({"tags": {}}, id="not marked"),
        pytest.param({"status": DagsterRunStatus.STARTED}, id="under way"),
    ],
)
def test_other_runs_are_left_alone(platform: Platform, how: dict[str, Any]):
    dead_run(platform, **how)
    assert requests(platform) == []


@pytest.mark.parametrize("later", [timedelta(seconds=30), timedelta(days=2)], ids=["soon", "long afterwards"])
def test_dagster_has_its_own_chance_first_and_old_runs_are_let_rest(platform: Platform, later: timedelta):
    dead_run(platform)
    assert requests(platform, later=later) == []


def test_a_run_that_was_retried_is_left_alone(platform: Platform):
    run_id = dead_run(platform)
    put_run(platform.instance, tags={"dagster/parent_run_id": run_id})
    assert requests(platform) == []
