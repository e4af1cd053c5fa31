"""Fixtures of the tests of outside systems."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.storage import FrameIOManager
from tests.support.mongod import OwnMongod, lone_mongod


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The folder of a storage that does not exist yet."""
    return tmp_path / "storage"


@pytest.fixture
def frames(storage: Path) -> FrameIOManager:
    return FrameIOManager(str(storage))


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMongod]:
    with lone_mongod(tmp_path_factory.mktemp("lone") / "data") as server:
        yield server
