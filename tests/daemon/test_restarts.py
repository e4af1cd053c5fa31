"""What the platform leans on goes away and comes back, one after the other, under the real daemon."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from nhm_assets.domain.dagster_names import VOLUME_SENSOR
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.promotion_lock import hold_intent
from nhm_assets.runs.queries import RETRY_NUMBER_TAG
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import Unattended, comes_true
from tests.support.documents import put, reviewed_opinions
from tests.support.mongod import OwnMongod, lone_mongod
from tests.support.postgres import Postgres

SPECIALIST = Specialist.TECHNICAL
AWAY_S = 10


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[OwnMongod]:
    with lone_mongod(tmp_path / "mongod") as server:
        yield server


@pytest.fixture
def dagsters_database(request: pytest.FixtureRequest) -> Postgres | None:
    """The server of the instance's database, where it has one."""
    on_postgres = "postgres" in request.node.callspec.params.values()
    return request.getfixturevalue("postgres") if on_postgres else None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_services_that_go_away_and_come_back_lose_no_feedback_and_double_no_run(
    mongod: OwnMongod, new_platform: NewPlatform, dagsters_database: Postgres | None
):
    platform = new_platform(mongod_uri=mongod.uri, min_real_samples=100, min_test_rows=40, mongodb_timeout_s=3)
    end = datetime.now(UTC)
    opinions, reviews = reviewed_opinions(400, specialist=str(SPECIALIST), end=end, days=10 / 86400)
    put(platform.database, opinions=opinions, feedback=reviews[:50])
    daemon = platform.start_daemon()
    assert comes_true(lambda: said(platform, "technical: 50 of 100 feedback documents"), within_s=60), platform.log

    mongod.kill()
    unreachable = f"MongoDB at {mongod.uri} cannot be reached"
    assert comes_true(lambda: said(platform, unreachable), within_s=90), platform.log
    mongod.start()
    kill_code_server(daemon)
    with another_promotion(platform) as promotion:
        put(platform.database, feedback=reviews[50:])
        assert comes_true(platform.runs, within_s=150), platform.log
        (run,) = platform.runs()
        assert comes_true(lambda: platform.has_started(run.run_id, "promoted_version"), within_s=150), platform.log
        kill_code_server(daemon)
        if dagsters_database:
            dagsters_database.crash()
        promotion.withdraw()
        time.sleep(AWAY_S)
        if dagsters_database:
            dagsters_database.start()
    assert comes_true(lambda: outcomes(platform) == ["promoted"], within_s=300, every_s=2), platform.log
    assert all(one.is_finished for one in platform.runs())
    # More than one is a process that died and was started over.
    assert all(RETRY_NUMBER_TAG in one.tags for one in platform.runs()[1:]), platform.log
    assert platform.registry(SPECIALIST) == (["Production"], [])
    assert daemon.poll() is None, "a daemon does not end with what it leans on"


def kill_code_server(daemon: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process that holds the code location; its runs live on."""
    (server,) = [one for one in psutil.Process(daemon.pid).children() if "grpc" in one.cmdline()]
    server.kill()


def another_promotion(platform: Unattended) -> Any:
    """Somebody else who promotes the same specialist, until told to withdraw."""
    log, fields = platform.database["model_audit_log"], {"kind": "promotion", "at": datetime.now(UTC)}
    return hold_intent(log, SPECIALIST.registered_model, fields, repair=lambda _: None, wait_s=5)


def said(platform: Unattended, words: str) -> bool:
    """Whether a tick of the sensor gave this as its reason, or failed with it."""
    return any(
        words in (tick.error.to_string() if tick.error else tick.skip_reason or "")
        for tick in platform.ticks(VOLUME_SENSOR)
    )


def outcomes(platform: Unattended) -> list[str]:
    """What `retraining_triggers` says became of all retrainings."""
    return [one.get("status") for one in platform.database["retraining_triggers"].find()]
