"""Fixtures of the tests of outside systems."""

from pathlib import Path

import pytest

from resources.storage import FrameIOManager


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The folder of a storage that does not exist yet."""
    return tmp_path / "storage"


@pytest.fixture
def frames(storage: Path) -> FrameIOManager:
    return FrameIOManager(str(storage))
