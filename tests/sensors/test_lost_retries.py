"""A run whose process died is retried even if Dagster, which should do so, does not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, build_sensor_context

from nhm_assets.runs.tags import attempts
from nhm_assets.settings import Settings
from sensors.lost_retries import lost_retry_sensor
from tests.support.dagster_internals import RUN_FAILURE_REASON_TAG, freeze_time
from tests.support.processes import ROOT
from tests.support.retrainings import partition, put_run

SOON, LATER, MUCH_LATER = timedelta(seconds=90), timedelta(minutes=3), timedelta(days=2)
DIED = {"dagster/will_retry": "true", "nhm/trigger": "weekly:technical"}


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """An instance with the retry rules of deploy/local/dagster.yaml."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "2")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "local" / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def dead_run(instance: DagsterInstance, **how: Any) -> str:
    return put_run(instance, **{"status": DagsterRunStatus.FAILURE, "tags": DIED} | how)


def tick(instance: DagsterInstance, later: timedelta, cursor: str | None = None) -> tuple[list[RunRequest], str]:
    """The requests of an evaluation that much later, and its cursor."""
    with freeze_time(datetime.now(UTC) + later):
        context = build_sensor_context(instance=instance, cursor=cursor, resources={"settings": Settings()})
        result = lost_retry_sensor(context)
    return list(result.run_requests or []), result.cursor


def requests(instance: DagsterInstance, *, later: timedelta = LATER) -> list[RunRequest]:
    """The requests of an evaluation that much later, if the sensor has run since now."""
    _, cursor = tick(instance, timedelta())
    return tick(instance, later, cursor)[0]


def test_a_run_that_nobody_retried_is_requested_once(instance):
    run_id = dead_run(instance)
    (first,), (second,) = requests(instance), requests(instance)
    assert first.partition_key == partition().key
    assert first.run_key == second.run_key == f"lost-retry:{run_id}"


def test_a_retry_that_dagster_failed_to_start_is_lost_too(instance):
    """If the code location is away just then, Dagster removes its tag and never returns to the run."""
    run_id = dead_run(instance, tags={"dagster/will_retry": "false"})
    (request,) = requests(instance)
    assert request.run_key == f"lost-retry:{run_id}"


def test_the_new_run_is_another_attempt_of_the_same_trigger(instance):
    first = put_run(instance, status=DagsterRunStatus.FAILURE, tags={"dagster/max_retries": "0"})
    run_id = dead_run(instance, tags={**DIED, "dagster/retry_number": "1"}, parent=first)
    (request,) = requests(instance)
    started = put_run(instance, tags=request.tags)
    run = instance.get_run_by_id(started)
    assert attempts(run) == {started, run_id, first}
    assert run.tags["nhm/trigger"] == DIED["nhm/trigger"]
    assert "dagster/will_retry" not in request.tags


def test_the_retry_materializes_the_same_selection(instance):
    dead_run(instance, only=["feedback_dataset"])
    (request,) = requests(instance)
    assert [key.to_user_string() for key in request.asset_selection] == ["feedback_dataset"]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            {"tags": {RUN_FAILURE_REASON_TAG: "STEP_FAILURE", "dagster/retry_on_asset_or_op_failure": "false"}},
            id="a failed step",
        ),
        pytest.param({"tags": {"dagster/max_retries": "0"}}, id="ended on purpose"),
        pytest.param({"status": DagsterRunStatus.CANCELED}, id="canceled"),
        pytest.param({"status": DagsterRunStatus.STARTED}, id="in progress"),
        pytest.param({"of": partition(specialist="taken-out")}, id="of a partition that is gone"),
    ],
)
def test_other_runs_are_not_retried(instance, how: dict[str, Any]):
    dead_run(instance, **how)
    assert requests(instance) == []


def test_a_run_that_died_three_times_is_given_up(instance):
    first = put_run(instance, status=DagsterRunStatus.FAILURE)
    of_first = {"dagster/parent_run_id": first, "dagster/root_run_id": first}
    second = put_run(instance, status=DagsterRunStatus.FAILURE, tags=of_first)
    of_second = {"dagster/parent_run_id": second, "dagster/root_run_id": first, "dagster/retry_number": "2"}
    put_run(instance, status=DagsterRunStatus.FAILURE, tags=of_second)
    assert requests(instance) == []


@pytest.mark.parametrize("later", [SOON, MUCH_LATER], ids=["soon", "long afterwards"])
def test_dagster_gets_two_minutes_first_and_old_runs_are_not_retried(instance, later: timedelta):
    dead_run(instance)
    assert requests(instance, later=later) == []


def test_a_daemon_that_was_down_gets_two_minutes_after_its_return(instance):
    """It reads the failure then, as this sensor does: both would retry the run."""
    dead_run(instance)
    requested, cursor = tick(instance, timedelta(hours=1))
    assert requested == []
    assert len(tick(instance, timedelta(hours=1, minutes=3), cursor)[0]) == 1


@pytest.mark.parametrize("cursor", ["not ours", "[1]", '{"a": 1}', '{"a": "b"}'])
def test_a_foreign_cursor_costs_two_minutes_and_nothing_else(instance, cursor: str):
    dead_run(instance)
    requested, following = tick(instance, timedelta(), cursor)
    assert requested == []
    assert len(tick(instance, LATER, following)[0]) == 1


def test_a_run_that_was_retried_is_not_retried_again(instance):
    run_id = dead_run(instance)
    put_run(instance, tags={"dagster/parent_run_id": run_id})
    assert requests(instance) == []
