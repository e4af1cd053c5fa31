"""The services that the platform depends on go away and come back, one after the other, under the real daemon."""

import subprocess
import time
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from nhm_assets.domain.dagster_names import VOLUME_SENSOR
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.runs.tags import RETRY_NUMBER_TAG
from tests.daemon.conftest import ON_SQLITE_LESS_OFTEN, NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.documents import put, reviewed_opinions
from tests.support.mongod import OwnMongod
from tests.support.outages import dagsters_database, mongod
from tests.support.postgres import Postgres

__all__ = ["dagsters_database", "mongod"]

SPECIALIST = Specialist("technical")
OUTAGE_S = 10


@ON_SQLITE_LESS_OFTEN
@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_an_outage_of_each_service_loses_no_feedback_and_doubles_no_run(
    mongod: OwnMongod, new_platform: NewPlatform, dagsters_database: Postgres | None
):
    platform = new_platform(mongod_uri=mongod.uri, min_real_samples=100, min_test_rows=40, mongodb_timeout_s=3)
    end = datetime.now(UTC)
    opinions, reviews = reviewed_opinions(400, specialist=str(SPECIALIST), end=end, days=10 / 86400)
    put(platform.database, opinions=opinions, feedback=reviews[:50])
    daemon = platform.start_daemon()
    assert becomes_true(lambda: has_tick_with(platform, "technical: 50 of 100 feedback documents")), platform.log

    mongod.kill()
    unreachable = f"MongoDB at {mongod.uri} cannot be reached"
    assert becomes_true(lambda: has_tick_with(platform, unreachable)), platform.log
    mongod.start()
    kill_code_servers(daemon)
    with another_promotion(platform) as promotion:
        put(platform.database, feedback=reviews[50:])
        assert becomes_true(platform.runs), platform.log
        (run,) = platform.runs()
        assert becomes_true(lambda: platform.has_started(run.run_id, "promoted_version")), platform.log
        kill_code_servers(daemon)
        if dagsters_database:
            dagsters_database.crash()
        promotion.discard()
        time.sleep(OUTAGE_S)
        if dagsters_database:
            dagsters_database.start()
    assert becomes_true(lambda: outcomes(platform) == ["promoted"], every_s=2), platform.log
    assert all(run.is_finished for run in platform.runs())
    # If there is more than one run, a process died and the run was retried.
    assert all(RETRY_NUMBER_TAG in run.tags for run in platform.runs()[1:]), platform.log
    assert platform.registry(SPECIALIST) == (["Production"], [])
    assert daemon.poll() is None, "the daemon ended with a service that it depends on"


def kill_code_servers(daemon: subprocess.Popen[bytes]) -> None:
    """SIGKILL the code server; the processes of its runs live on.

    On a busy machine a new server can start before the old one has ended. Then there are two, and both are killed.
    """
    servers = [child for child in psutil.Process(daemon.pid).children() if "grpc" in child.cmdline()]
    assert servers
    for server in servers:
        server.kill()


def another_promotion(platform: DaemonPlatform) -> Any:
    """Somebody else who promotes the same specialist, until `discard` is called."""
    log, fields = platform.database["model_audit_log"], {"kind": "promotion", "at": datetime.now(UTC)}
    return hold_lock(log, SPECIALIST.registered_model, fields, recover=lambda _: None, wait_s=5)


def has_tick_with(platform: DaemonPlatform, text: str) -> bool:
    """Whether a tick of the sensor was skipped for this reason, or failed with this error."""
    return any(
        text in (tick.error.to_string() if tick.error else tick.skip_reason or "")
        for tick in platform.ticks(VOLUME_SENSOR)
    )


def outcomes(platform: DaemonPlatform) -> list[str]:
    """The outcome of every retraining in `retraining_triggers`."""
    return [trigger.get("outcome") for trigger in platform.database["retraining_triggers"].find()]
