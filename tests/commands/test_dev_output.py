"""The lines of `nhm dev`: the runs that start and end while it works, and no others."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from nhm_assets.commands.dev_output import reported_runs
from tests.support.dagster_internals import freeze_time
from tests.support.documents import WEEK
from tests.support.ended_runs import PROMOTED
from tests.support.processes import eventually
from tests.support.retrainings import end_run, put_run
from tests.support.sqlite_instances import pooled_instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with pooled_instance(tmp_path) as instance:
        yield instance


def test_a_run_that_ended_before_is_not_shown_though_a_sensor_tags_it(instance: DagsterInstance):
    old = put_run(instance, status=DagsterRunStatus.STARTED, tags=PROMOTED)
    with freeze_time(datetime.now(UTC) - timedelta(minutes=1)):
        end_run(instance, old, DagsterEventType.RUN_SUCCESS)
    lines: list[str] = []
    with reported_runs(instance, "http://dagster.example", lines.append):
        instance.add_run_tags(old, {".dagster/nhm_reported": old})
        new = put_run(instance, status=DagsterRunStatus.STARTED, tags=PROMOTED)
        end_run(instance, new, DagsterEventType.RUN_SUCCESS)
        assert eventually(lambda: lines)
    assert [line.partition(" ")[2] for line in lines] == [
        f"technical {WEEK} (promoted): every gate check passed http://dagster.example/runs/{new}"
    ]


@pytest.mark.servers
def test_a_run_that_was_refused_is_never_called_broken(instance: DagsterInstance):
    lines: list[str] = []
    with reported_runs(instance, "http://dagster.example", lines.append):
        run = put_run(instance, status=DagsterRunStatus.STARTED)
        end_run(instance, run, DagsterEventType.RUN_FAILURE)
        # The sensor comes half a minute later; the watcher looks every two seconds.
        time.sleep(5)
        assert not any(run in line for line in lines)
        instance.add_run_tags(run, {"nhm/outcome": "refused", "nhm/reason": "it is held"})
        assert eventually(lambda: any(run in line for line in lines))
    assert [line.partition(" ")[2] for line in lines if run in line] == [
        f"technical {WEEK} (refused): it is held http://dagster.example/runs/{run}"
    ]
