"""Services are away when the weekly schedule is due. Each specialist comes to an outcome, and none to two.

The short outages have all delays shortened by settings. The long ones last ten minutes, with the default delays.
"""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from nhm_assets.domain.outcomes import BROKEN_BY_TAG, OUTCOME_TAG, TRANSIENT_TAG
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.runs.tags import RETRY_NUMBER_TAG, SPECIALIST_TAG
from tests.daemon.conftest import ON_POSTGRES_LESS_OFTEN, NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.documents import put, reviewed_opinions
from tests.support.mongod import OwnMongod
from tests.support.outages import Service, dagsters_database, five_specialists, mlflow_proxy, mongod
from tests.support.postgres import Postgres
from tests.support.proxies import Proxy

__all__ = ["dagsters_database", "five_specialists", "mlflow_proxy", "mongod"]

SMALL = {"retraining_feedback_threshold": 100_000, "min_real_samples": 100, "min_test_rows": 40}
IMPATIENT = {
    "service_retries": 1,
    "service_retry_delay_s": 0.2,
    "mongodb_timeout_s": 1.0,
    "mlflow_timeout_s": 3.0,
    "restart_after_minutes": [0.05],
    **SMALL,
}
OUTAGE_S = 10


@dataclass(frozen=True)
class Outage:
    """How long a service is away, within which time all must be done, and the settings that go with it."""

    seconds: float
    within_s: float
    settings: dict[str, Any]


SHORT = Outage(OUTAGE_S, 900, IMPATIENT)
LONG = Outage(600, 3600, SMALL)
INSTANCE = {"MongoDB": "local", "MLflow": "local", "PostgreSQL": "postgres", "Kubernetes": "local"}
"""Which instance a test of the service has."""
CASES = [
    pytest.param(name, INSTANCE[name], outage, id=f"{name}-{length}")
    for length, outage in (("short", SHORT), ("long", LONG))
    for name in INSTANCE
]


@ON_POSTGRES_LESS_OFTEN
@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_an_outage_at_the_weekly_tick_costs_nothing_but_time(
    mongod: OwnMongod, mlflow_proxy: Proxy, new_platform: NewPlatform, dagsters_database: Postgres | None
):
    """Each run breaks by MongoDB first and then by MLflow, is started over each time, and comes to one outcome."""
    mlflow = f"http://127.0.0.1:{mlflow_proxy.port}"
    module = "tests.support.every_minute"
    platform = new_platform(mongod_uri=mongod.uri, mlflow_tracking_uri=mlflow, module=module, **IMPATIENT)
    add_feedback(platform)
    mongod.kill()
    mlflow_proxy.shut()
    daemon = platform.start_daemon()

    assert becomes_true(lambda: broken_by(platform)["MongoDB"] >= len(FIVE)), platform.log
    if dagsters_database:
        dagsters_database.crash()
        time.sleep(OUTAGE_S)
        dagsters_database.start()
    mongod.start()
    assert becomes_true(lambda: broken_by(platform)["MLflow"] >= 1), platform.log
    mlflow_proxy.open()

    assert becomes_true(lambda: len(decided(platform)) >= len(FIVE), every_s=2), platform.log
    assert becomes_true(lambda: platform.has_finished(len(FIVE))), platform.log
    assert sorted(decided(platform)) == sorted(FIVE), platform.log
    firsts = [run for run in platform.runs() if RETRY_NUMBER_TAG not in run.tags]
    assert sorted(run.tags[SPECIALIST_TAG] for run in firsts) == sorted(FIVE), platform.log
    assert daemon.poll() is None, "the daemon ended with a service that it depends on"


@pytest.fixture
def away(request: pytest.FixtureRequest) -> tuple[Service, dict[str, Any]]:
    """The service that a test takes away, and the settings of a platform that uses it."""
    match request.param:
        case "MongoDB":
            mongod = request.getfixturevalue("mongod")
            return Service("MongoDB", mongod.kill, mongod.start), {"mongod_uri": mongod.uri}
        case "MLflow":
            proxy = request.getfixturevalue("mlflow_proxy")
            settings = {"mlflow_tracking_uri": f"http://127.0.0.1:{proxy.port}"}
            return Service("MLflow", proxy.shut, proxy.open), settings
        case "PostgreSQL":
            postgres = request.getfixturevalue("postgres")
            return Service("PostgreSQL", postgres.crash, postgres.start), {}
        case _:
            settings, proxy = request.getfixturevalue("five_specialists")
            return Service("Kubernetes", proxy.shut, proxy.open), settings


# The service comes first, so that it outlives the platform that uses it.
@pytest.mark.exhaustive
@pytest.mark.timeout(2 * 3600)
@pytest.mark.parametrize(("away", "new_platform", "outage"), CASES, indirect=["away", "new_platform"])
def test_an_outage_of_one_service_at_the_weekly_tick_leaves_one_outcome_for_each_specialist(
    away: tuple[Service, dict[str, Any]], new_platform: NewPlatform, outage: Outage
):
    service, settings = away
    platform = new_platform(module="tests.support.every_minute", **{**outage.settings, **settings})
    add_feedback(platform)
    if service.name == "PostgreSQL":
        # Without it, the daemon does not start. It goes away just before the schedule is due.
        daemon = platform.start_daemon()
        time.sleep(max(0.0, 57 - datetime.now(UTC).second))
        service.stop()
    else:
        service.stop()
        daemon = platform.start_daemon()
    began = time.monotonic()
    time.sleep(outage.seconds)
    service.start()
    left_s = outage.within_s - (time.monotonic() - began)
    everybody = len(FIVE)
    assert becomes_true(lambda: len(succeeded(platform)) >= everybody, timeout_s=left_s, every_s=3), platform.log
    assert becomes_true(lambda: platform.has_finished(everybody)), platform.log
    assert sorted(succeeded(platform)) == sorted(FIVE), platform.log
    firsts = [run for run in platform.runs() if RETRY_NUMBER_TAG not in run.tags]
    assert sorted(run.tags[SPECIALIST_TAG] for run in firsts) == sorted(FIVE), platform.log
    for specialist in FIVE:
        assert platform.registry(Specialist(specialist)) == (["Production"], [])
    assert daemon.poll() is None, "the daemon ended with a service that it depends on"


def add_feedback(platform: DaemonPlatform) -> None:
    """Enough for each specialist to be promoted on the closed week."""
    end = Partition.parse(last_closed_week(datetime.now(UTC)), "technical").week_end
    for specialist in FIVE:
        opinions, reviews = reviewed_opinions(400, specialist=specialist, end=end, days=20)
        put(platform.database, opinions=opinions, feedback=reviews)


def succeeded(platform: DaemonPlatform) -> list[str]:
    """The specialists of all runs that succeeded; one that is there twice was retrained twice."""
    return [run.tags[SPECIALIST_TAG] for run in platform.runs() if run.is_success]


def broken_by(platform: DaemonPlatform) -> Counter[str]:
    """How many runs broke by each service that was away."""
    return Counter(run.tags[BROKEN_BY_TAG] for run in platform.runs() if run.tags.get(TRANSIENT_TAG) == "true")


def decided(platform: DaemonPlatform) -> list[str]:
    """The specialists of all runs that came to an outcome; one that is there twice was retrained twice."""
    outcomes = {"promoted", "held"}
    return [run.tags[SPECIALIST_TAG] for run in platform.runs() if run.tags.get(OUTCOME_TAG) in outcomes]
