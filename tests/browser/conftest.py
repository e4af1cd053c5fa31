"""Fixture: a platform with webserver and daemon, and the browser that looks at it."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nhm_assets.domain.partitions import Partition, last_closed_week
from tests.support.browser import Tab, chromium, need_browser, tab
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.daemon_instance import daemon_platform
from tests.support.documents import put, reviewed_opinions
from tests.support.mongod import PASSWORD, mongod_with_password
from tests.support.nhm import NHM
from tests.support.processes import ROOT
from tests.support.servers import mlflow_server
from tests.support.web import website

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MLFLOW_PASSWORD = "mlflow-s3cret"  # noqa: S105 - of a server that lives for one module
NOTIFY_PASSWORD = "notify-s3cret"  # noqa: S105
SECRETS = (PASSWORD, MLFLOW_PASSWORD, NOTIFY_PASSWORD)
WEEK = last_closed_week(datetime.now(UTC))
WEEK_BEFORE = last_closed_week(datetime.now(UTC) - timedelta(days=7))
TECHNICAL, BUSINESS, BEHAVIOR = (Partition.parse(WEEK, name) for name in ("technical", "business", "behavior"))
"""Two versions of `technical` were promoted, `behavior` is held, and `business` was never retrained."""
THRESHOLD = 450
"""New feedback that starts a retraining. Only `evolution` has so much, and the sensor starts one for it."""


@dataclass(frozen=True)
class Site:
    """What is looked at, and the browser."""

    platform: DaemonPlatform
    address: str
    browser: "Browser"


@pytest.fixture(autouse=True, scope="module")
def restored_environment() -> Iterator[None]:
    """The platform's MLflow client leaves its password in the environment: it must not reach the next module."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform with three specialists' feedback, whose services all want passwords."""
    need_browser()
    folder = tmp_path_factory.mktemp("site")
    with (
        mongod_with_password(folder / "mongod") as mongod,
        mlflow_server(folder / "mlflow", artifact_root=str(folder / "artifacts")) as mlflow,
        website({}, otherwise=(200, "ok")) as receiver,
        daemon_platform(
            folder / "platform",
            mongod.uri,
            ROOT / "deploy/local/dagster.yaml",
            {},
            module="nhm_assets.definitions",
            start_timeout_s=180,
            mlflow_tracking_uri=mlflow.replace("://", f"://nhm:{MLFLOW_PASSWORD}@"),
            notify_urls=receiver.address.replace("http://", f"json://hook:{NOTIFY_PASSWORD}@"),
            min_real_samples=300,
            min_test_rows=40,
            # Two versions in a row are promoted, though each learned from few rows.
            max_f1_regression=0.2,
            retraining_feedback_threshold=THRESHOLD,
        ) as platform,
    ):
        put_feedback(platform)
        retrain(platform, WEEK_BEFORE, "technical")
        retrain(platform, WEEK, "technical", "behavior")
        webserver = platform.start_webserver()
        platform.start_daemon()
        assert becomes_true(lambda: platform.runs("evolution")), platform.log
        with chromium() as browser:
            yield Site(platform, f"http://127.0.0.1:{webserver.port}", browser)


def put_feedback(platform: DaemonPlatform) -> None:
    """Enough for two windows of `technical`, and one each of the others."""
    for partition, count, days, disagreement in (
        (TECHNICAL, 480, 37, 0.03),
        (BUSINESS, 400, 30, 0.03),
        (BEHAVIOR, 400, 30, 0.75),
    ):
        how = {"end": partition.week_end, "days": days, "disagreement": disagreement}
        opinions, reviews = reviewed_opinions(count, specialist=str(partition.specialist), **how)
        put(platform.database, opinions=opinions, feedback=reviews)
    # One label alone: nothing can be learned from it, so the run ends soon.
    how = {"end": datetime.now(UTC), "days": 1, "recommendations": ["approve"]}
    opinions, reviews = reviewed_opinions(THRESHOLD + 10, specialist="evolution", **how)
    put(platform.database, opinions=opinions, feedback=reviews)


def retrain(platform: DaemonPlatform, week: str, *specialists: str) -> None:
    chosen = [word for name in specialists for word in ("--specialist", name)]
    command = [NHM, "retrain", "--week", week, *chosen]
    done = subprocess.run(command, env=platform.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def visitor(site: Site) -> Iterator[Tab]:
    """A tab of a person who meets no error and no secret on any page."""
    with tab(site.browser, site.address) as opened:
        yield opened
        assert opened.problems == []
        assert [secret for secret in SECRETS if any(secret in page for page in opened.seen)] == []
