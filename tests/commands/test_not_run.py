"""Specialists that `nhm retrain` never tried: they are not run, which is not broken."""

import signal

import pytest
from click.testing import CliRunner
from dagster import DagsterRunStatus

from nhm_assets.cli import main
from nhm_assets.commands.retrain import _retrain
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.instance.home import dagster_instance
from tests.support.dagster_internals import forget_entered_instance
from tests.support.documents import NOW, WEEK
from tests.support.nhm import environment
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


@pytest.mark.servers
def test_an_increment_by_hand_does_not_take_the_place_of_the_full_training_of_the_closed_week(
    module_platform: Platform, mongod_uri: str, monkeypatch: pytest.MonkeyPatch
):
    """As the sensor, which waits for it. The schedule may have been down."""
    settings = module_platform.settings
    here = {name: getattr(settings, name) for name in ("nhm_home", "mongodb_database")}
    variables = environment(nhm_now=NOW.isoformat(), mongodb_uri=mongod_uri, **here)
    folder = str(settings.dagster_folder)
    for name in ("DAGSTER_HOME", "MAX_CONCURRENT_RUNS"):
        # As above; the runner puts back only what it was given.
        monkeypatch.setenv(name, "2")
    on_end = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(
        main, ["retrain", "--increment", "--specialist", "evolution"], env=variables | {"DAGSTER_HOME": folder}
    )
    signal.signal(signal.SIGTERM, on_end)
    forget_entered_instance()
    assert done.exit_code == 1
    week = last_closed_week(NOW)
    assert f"not run: evolution: no increment before the full retraining of week {week}" in done.output
    assert f"nhm retrain --specialist evolution --week {week}" in done.output
