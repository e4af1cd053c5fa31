"""Storage that cannot be used: a full disk, a folder without rights, an address that nothing here can read."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from resources.errors import StorageError
from resources.storage import FrameIOManager
from resources.storage_location import check_storage
from tests.support.storing import fetch, file_in, frame, keep


def mount(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)], check=False)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root's rights")


@pytest.fixture
def small_disk(storage: Path) -> Iterator[Path]:
    """A disk of 64 KiB at the storage folder."""
    if os.geteuid() != 0:
        pytest.skip("a small disk cannot be mounted here: that takes root's rights")
    mount(storage, "size=64k")
    yield storage
    subprocess.run(["umount", str(storage)], check=True)


def test_a_full_disk_is_an_error_and_does_not_change_the_old_file(frames: FrameIOManager, small_disk: Path):
    keep(frames, frame())
    path = file_in(small_disk, ".parquet")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="the disk is full") as caught:
        keep(frames, frame(20_000))
    assert str(path.parent) in str(caught.value)
    assert "Free space" in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    pd.testing.assert_frame_equal(fetch(frames, pd.DataFrame), frame())


def test_a_disk_that_became_full_is_noticed_before_any_work(small_disk: Path):
    check_storage(str(small_disk))
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(100_000))
    with pytest.raises(StorageError, match="the disk is full"):
        check_storage(str(small_disk))
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.fixture
def unwritable(storage: Path) -> Iterator[Path]:
    """A storage folder that nobody can write to, not even root."""
    if os.geteuid() != 0:
        storage.mkdir(mode=0o500)
        yield storage
        return
    mount(storage, "ro", "size=64k")
    yield storage
    subprocess.run(["umount", str(storage)], check=True)


def test_a_read_only_folder_is_an_error_that_names_the_setting(frames: FrameIOManager, unwritable: Path):
    for use in (lambda: keep(frames, frame()), lambda: check_storage(str(unwritable))):
        with pytest.raises(StorageError, match="cannot be written") as caught:
            use()
        assert str(unwritable) in str(caught.value)
        assert "check NHM_STORAGE and its permissions" in str(caught.value)


def test_a_file_in_place_of_the_storage_folder_is_an_error_and_is_not_changed(frames: FrameIOManager, storage: Path):
    storage.write_text("mine")
    for use in (lambda: keep(frames, frame()), lambda: check_storage(str(storage))):
        with pytest.raises(StorageError, match="cannot be written"):
            use()
    assert storage.read_text() == "mine"


def test_writable_storage_passes_the_check_which_leaves_nothing_behind(storage: Path):
    check_storage(str(storage))
    assert list(storage.iterdir()) == []


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="what reads gs:// is installed here")
def test_an_address_whose_library_is_missing_is_an_error_that_names_the_extra():
    frames = FrameIOManager("gs://bucket/prefix")
    for use in (
        lambda: keep(frames, frame()),
        lambda: fetch(frames, pd.DataFrame),
        lambda: check_storage("gs://bucket/prefix"),
    ):
        with pytest.raises(StorageError, match="install the extra `s3`") as caught:
            use()
        assert "NHM_STORAGE gs://bucket/prefix" in str(caught.value)


def test_an_address_of_an_unknown_kind_is_an_error_that_names_the_setting():
    with pytest.raises(StorageError, match="NHM_STORAGE"):
        check_storage("nosuch://bucket/prefix")
