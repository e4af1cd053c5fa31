"""Specialists that `nhm retrain` never tried: they are not run, which is not broken."""

import pytest
from dagster import DagsterRunStatus

from nhm_assets.commands.retrain import _retrain
from nhm_assets.domain.partitions import Partition
from nhm_assets.instance.home import dagster_instance
from tests.support.documents import WEEK
from tests.support.platform import Platform
from tests.support.platforms import module_platform
from tests.support.retrainings import partition, put_run

__all__ = ["module_platform"]


@pytest.mark.servers
def test_a_specialist_whose_other_run_does_not_end_is_not_run_and_the_next_one_is(
    module_platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    for name in ("DAGSTER_HOME", "MAX_CONCURRENT_RUNS"):
        # Set now, so that what the command sets is undone afterwards.
        monkeypatch.setenv(name, "2")
    settings = module_platform.settings.model_copy(update={"max_run_seconds": 1, "retrain_processes": 1})
    with dagster_instance(settings) as instance:
        put_run(instance, partition(WEEK, "technical"), status=DagsterRunStatus.STARTED)
    waits, tried = _retrain(settings, [Partition.parse(WEEK, name) for name in ("technical", "business")])
    assert (waits.outcome, waits.run_id) == ("not run", None)
    assert "another run of technical" in str(waits.error)
    assert tried.outcome != "not run"
    assert tried.run_id
