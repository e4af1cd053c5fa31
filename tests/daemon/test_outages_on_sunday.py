"""MongoDB, MLflow and Dagster's database are away when the weekly schedule is due. All delays are shortened."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nhm_assets.domain.outcomes import BROKEN_BY_TAG, OUTCOME_TAG, TRANSIENT_TAG
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import SPECIALISTS
from nhm_assets.runs.queries import RETRY_NUMBER_TAG, SPECIALIST_TAG
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.documents import put, reviewed_opinions
from tests.support.doors import Door, door_to
from tests.support.mongod import OwnMongod, lone_mongod
from tests.support.postgres import Postgres
from tests.support.servers import mlflow_server

IMPATIENT = {
    "service_retries": 1,
    "service_retry_delay_s": 0.2,
    "mongodb_timeout_s": 1.0,
    "mlflow_timeout_s": 3.0,
    "restart_after_minutes": [0.05],
    "retraining_feedback_threshold": 100_000,
    "min_real_samples": 100,
    "min_test_rows": 40,
}
OUTAGE_S = 10


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[OwnMongod]:
    with lone_mongod(tmp_path / "mongod") as server:
        yield server


@pytest.fixture
def mlflow_door(tmp_path: Path) -> Iterator[Door]:
    with mlflow_server(tmp_path / "mlflow") as address, door_to(int(address.rsplit(":", 1)[1])) as door:
        yield door


@pytest.fixture
def dagsters_database(request: pytest.FixtureRequest) -> Postgres | None:
    """The database server of the instance; None where the instance is on SQLite."""
    is_postgres = "postgres" in request.node.callspec.params.values()
    return request.getfixturevalue("postgres") if is_postgres else None


@pytest.mark.servers
@pytest.mark.timeout(1800)
def test_an_outage_at_the_weekly_tick_costs_nothing_but_time(
    mongod: OwnMongod, mlflow_door: Door, new_platform: NewPlatform, dagsters_database: Postgres | None
):
    """Each run breaks by MongoDB first and then by MLflow, is started over each time, and comes to one outcome."""
    mlflow = f"http://127.0.0.1:{mlflow_door.port}"
    module = "tests.support.every_minute"
    platform = new_platform(mongod_uri=mongod.uri, mlflow_tracking_uri=mlflow, module=module, **IMPATIENT)
    end = Partition.parse(last_closed_week(datetime.now(UTC)), "technical").week_end
    for specialist in SPECIALISTS:
        opinions, reviews = reviewed_opinions(400, specialist=specialist, end=end, days=20)
        put(platform.database, opinions=opinions, feedback=reviews)
    mongod.kill()
    mlflow_door.shut()
    daemon = platform.start_daemon()

    assert becomes_true(lambda: broken_by(platform)["MongoDB"] >= len(SPECIALISTS), timeout_s=400), platform.log
    if dagsters_database:
        dagsters_database.crash()
        time.sleep(OUTAGE_S)
        dagsters_database.start()
    mongod.start()
    assert becomes_true(lambda: broken_by(platform)["MLflow"] >= 1, timeout_s=400), platform.log
    mlflow_door.open()

    assert becomes_true(lambda: len(decided(platform)) >= len(SPECIALISTS), timeout_s=600, every_s=2), platform.log
    assert becomes_true(lambda: platform.has_finished(len(SPECIALISTS)), timeout_s=120), platform.log
    assert sorted(decided(platform)) == sorted(SPECIALISTS), platform.log
    firsts = [run for run in platform.runs() if RETRY_NUMBER_TAG not in run.tags]
    assert sorted(run.tags[SPECIALIST_TAG] for run in firsts) == sorted(SPECIALISTS), platform.log
    assert daemon.poll() is None, "the daemon ended with a service that it depends on"


def broken_by(platform: DaemonPlatform) -> Counter[str]:
    """How many runs broke by each service that was away."""
    return Counter(run.tags[BROKEN_BY_TAG] for run in platform.runs() if run.tags.get(TRANSIENT_TAG) == "true")


def decided(platform: DaemonPlatform) -> list[str]:
    """The specialists of all runs that came to an outcome; one that is there twice was retrained twice."""
    outcomes = {"promoted", "held"}
    return [run.tags[SPECIALIST_TAG] for run in platform.runs() if run.tags.get(OUTCOME_TAG) in outcomes]
