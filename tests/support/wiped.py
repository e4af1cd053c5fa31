"""A platform that is emptied before each test instead of created anew, for the many tests that retrain nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform
from tests.support.platforms import new_platform


@pytest.fixture(scope="session")
def session_platform(
    tmp_path_factory: pytest.TempPathFactory, mongod_uri: str, migrated_mlflow: Path
) -> Iterator[Platform]:
    """The platform that the tests of a process share."""
    with new_platform(tmp_path_factory.mktemp("wiped"), mongod_uri, migrated_mlflow, service_retries=0) as platform:
        yield platform


@pytest.fixture
def wiped(session_platform: Platform) -> Platform:
    """That platform without runs, events and documents. Its registry is not emptied, because no such test fills it."""
    session_platform.instance.wipe()
    session_platform.database.client.drop_database(session_platform.database.name)
    return session_platform
