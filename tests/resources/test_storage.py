"""Stored frames and records: complete files, equal bytes for equal content, and errors that say what to do."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from resources.errors import StorageError
from resources.storage import FrameIOManager, RecordIOManager, address_metadata
from resources.storage_files import content_of
from tests.support.storing import NOTE, Note, fetch, file_in, frame, keep


@pytest.fixture
def records(storage: Path) -> RecordIOManager:
    return RecordIOManager(str(storage))


def test_a_frame_comes_back_with_its_types_and_attributes(frames: FrameIOManager):
    keep(frames, frame())
    loaded = fetch(frames, pd.DataFrame)
    pd.testing.assert_frame_equal(loaded, frame(), check_exact=True)
    assert loaded.attrs == frame().attrs


def test_a_frame_without_rows_keeps_its_types(frames: FrameIOManager):
    keep(frames, frame().iloc[:0])
    assert fetch(frames, pd.DataFrame).dtypes.to_dict() == frame().dtypes.to_dict()


def test_texts_that_stay_packed_are_read_as_arrow_s_by_a_step_alone(storage: Path):
    frames = FrameIOManager(str(storage), packed=("feedback_id", "another"))
    keep(frames, frame())
    read = fetch(frames, pd.DataFrame)
    assert isinstance(read["feedback_id"].dtype, pd.ArrowDtype)
    pd.testing.assert_frame_equal(read.astype({"feedback_id": "object"}), frame(), check_exact=True)
    assert read.attrs == frame().attrs
    file = frames.file_of("kept", "technical", "2026-03-01")
    assert content_of(file) == FrameIOManager("unused").to_bytes(frame())


def test_columns_of_a_frame_can_be_read_by_themselves(frames: FrameIOManager):
    keep(frames, frame())
    stored = frames.stored(frames.file_of("kept", "technical", "2026-03-01"), "kept")
    assert (list(stored.columns), len(stored), stored.attrs) == (list(frame().columns), len(frame()), frame().attrs)
    for name, column in frame().items():
        pd.testing.assert_series_equal(stored[name].astype(column.dtype), column, check_exact=True)
    chosen = list(frame().columns)[::-2]
    pd.testing.assert_frame_equal(stored.frame(chosen), frame()[chosen], check_exact=True)
    assert stored.frame(chosen).attrs == frame().attrs
    assert stored.frame(()).shape == (len(frame()), 0)


def test_a_record_comes_back_as_the_type_that_the_signature_names(records: RecordIOManager):
    keep(records, NOTE)
    assert fetch(records, Note) == NOTE


def files_in(storage: Path) -> list[str]:
    return sorted(str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file())


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def test_a_file_is_named_by_partition_and_content(frames: FrameIOManager, records: RecordIOManager, storage: Path):
    keep(frames, frame(), "technical")
    keep(records, NOTE, "business")
    assert files_in(storage) == [
        "kept/business/2026-03-01.current",
        f"kept/business/2026-03-01/{digest(records.to_bytes(NOTE))}.json",
        "kept/technical/2026-03-01.current",
        f"kept/technical/2026-03-01/{digest(frames.to_bytes(frame()))}.parquet",
    ]


@pytest.mark.parametrize(
    ("manager", "extension", "values"),
    [(FrameIOManager, ".parquet", [frame(3), frame(5)]), (RecordIOManager, ".json", [NOTE, Note(text="b", score=1)])],
)
def test_another_value_overwrites_nothing_and_an_equal_one_adds_nothing(
    storage: Path, manager: type, extension: str, values: list
):
    """A re-run of the week overwrote the rows that a promoted version had learned from."""
    keep(manager(str(storage)), values[0])
    first = file_in(storage, extension)
    before = first.read_bytes(), first.stat().st_mtime_ns
    for value in (values[1], values[1], values[0]):
        keep(manager(str(storage)), value)
        assert file_in(storage, extension).read_bytes() == manager(str(storage)).to_bytes(value)
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    assert len(files_in(storage)) == 3


def test_the_materialization_names_the_file(records: RecordIOManager, storage: Path):
    (event,) = keep(records, NOTE).asset_materializations_for_node("kept")
    assert event.metadata["file"].value == str(file_in(storage, ".json").relative_to(storage))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_umask_decides_who_can_read_a_file(frames: FrameIOManager, storage: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        keep(frames, frame())
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in storage.rglob("*") if path.is_file()}
    assert modes == {mode}


@pytest.mark.parametrize("content", [b"", b"x", b"2026-03-01/", b"2026-02-22/a.json", b"2026-03-01/../../x", b"\xff"])
def test_a_damaged_pointer_is_an_error_that_names_it_and_the_remedy(
    records: RecordIOManager, storage: Path, content: bytes
):
    keep(records, NOTE)
    pointer = storage / "kept" / "technical" / "2026-03-01.current"
    pointer.write_bytes(content)
    with pytest.raises(StorageError, match=r"is damaged.*materialize kept for this partition again") as caught:
        fetch(records, Note)
    assert str(pointer) in str(caught.value)
    keep(records, NOTE)
    assert fetch(records, Note) == NOTE


def test_partitions_do_not_overwrite_each_other(records: RecordIOManager):
    keep(records, NOTE, "technical")
    keep(records, Note(text="another", score=1), "business")
    assert fetch(records, Note, "technical") == NOTE


def test_rows_are_shown_in_the_ui_and_no_path_of_the_server(frames: FrameIOManager, storage: Path):
    result = keep(frames, frame(7))
    (event,) = result.asset_materializations_for_node("kept")
    assert event.metadata["dagster/row_count"].value == 7
    assert str(storage) not in str(event.metadata), "a folder of the server says nothing to people"


def test_the_address_of_a_bucket_is_shown():
    assert address_metadata("s3://bucket/nhm")["dagster/uri"].value == "s3://bucket/nhm"


def shuffled_attributes(original: pd.DataFrame) -> pd.DataFrame:
    original.attrs = dict(reversed(original.attrs.items()))
    return original


def other_index(original: pd.DataFrame) -> pd.DataFrame:
    return original.set_index(pd.Index(range(50, 50 + len(original))))


def sorted_anew(original: pd.DataFrame) -> pd.DataFrame:
    return original.sample(frac=1, random_state=1).sort_values("feedback_id")


@pytest.mark.parametrize("change", [lambda same: same, shuffled_attributes, other_index, sorted_anew])
def test_frames_with_equal_content_give_equal_bytes(
    frames: FrameIOManager, change: Callable[[pd.DataFrame], pd.DataFrame]
):
    assert frames.to_bytes(change(frame())) == frames.to_bytes(frame())


def other_attributes(original: pd.DataFrame) -> pd.DataFrame:
    original.attrs["window"] = ["2026-02-07", "2026-03-08"]
    return original


def other_value(original: pd.DataFrame) -> pd.DataFrame:
    original.loc[2, "human_rating"] += 1e-16
    return original


@pytest.mark.parametrize("change", [other_attributes, other_value, lambda original: original.iloc[::-1]])
def test_frames_with_other_content_give_other_bytes(
    frames: FrameIOManager, change: Callable[[pd.DataFrame], pd.DataFrame]
):
    assert frames.to_bytes(change(frame())) != frames.to_bytes(frame())


DAMAGES = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "its end missing": lambda content: content[:-5],
    "zeros in the middle": lambda content: content[: len(content) // 2] + bytes(64) + content[len(content) // 2 + 64 :],
    "something else": lambda _: b"\x00not what it should be\xff" * 20,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_parquet_file_is_an_error_that_names_it_and_the_remedy(
    frames: FrameIOManager, storage: Path, damage: Callable[[bytes], bytes]
):
    keep(frames, frame(2000))
    path = file_in(storage, ".parquet")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match="is damaged") as caught:
        fetch(frames, pd.DataFrame)
    assert str(path) in str(caught.value)
    assert "materialize kept for this partition again" in str(caught.value)
    keep(frames, frame(2000))
    pd.testing.assert_frame_equal(fetch(frames, pd.DataFrame), frame(2000))


def footer_start(content: bytes) -> int:
    """Where the pages of a Parquet file end. Its last eight bytes are the footer's length and a magic word."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def read_with_a_flipped_bit(frames: FrameIOManager, content: bytes, position: int) -> pd.DataFrame | None:
    """What is read from such a file; None if the damage is noticed."""
    damaged = bytearray(content)
    damaged[position] ^= 0x10
    try:
        return frames.from_bytes(bytes(damaged), None)
    except ValueError:
        return None


def test_no_flipped_bit_in_the_pages_of_a_parquet_file_changes_a_value_unnoticed(frames: FrameIOManager):
    content = frames.to_bytes(frame(300))
    results = {at: read_with_a_flipped_bit(frames, content, at) for at in range(4, footer_start(content), 37)}
    assert [at for at, result in results.items() if result is not None and not result.equals(frame(300))] == []
    assert None in results.values()


def test_a_flipped_bit_in_the_footer_of_a_parquet_file_is_noticed_as_damage_or_harmless(frames: FrameIOManager):
    content = frames.to_bytes(frame())
    results = [
        read_with_a_flipped_bit(frames, content, position) for position in range(footer_start(content), len(content), 7)
    ]
    assert None in results


@pytest.mark.parametrize(
    "content",
    [b"", b'{"text": "half', b"[]", b'{"text": "x"}', b'{"text": "x", "score": 1, "unknown": 2}', b"\xff\xfe\x00"],
)
def test_a_damaged_record_is_an_error_that_names_it_and_the_remedy(
    records: RecordIOManager, storage: Path, content: bytes
):
    keep(records, NOTE)
    path = file_in(storage, ".json")
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is damaged") as caught:
        fetch(records, Note)
    assert str(path) in str(caught.value)
    assert "materialize kept for this partition again" in str(caught.value)


def test_a_missing_file_is_an_error_that_says_what_to_materialize(records: RecordIOManager, storage: Path):
    keep(records, NOTE, "business")
    with pytest.raises(StorageError, match="does not exist: materialize kept for this partition first") as caught:
        fetch(records, Note, "technical")
    assert str(storage / "kept" / "technical" / "2026-03-01.current") in str(caught.value)


def test_a_file_that_is_gone_is_an_error_that_says_what_to_materialize(records: RecordIOManager, storage: Path):
    keep(records, NOTE)
    path = file_in(storage, ".json")
    path.unlink()
    with pytest.raises(StorageError, match="does not exist: materialize kept for this partition first") as caught:
        fetch(records, Note)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(records: RecordIOManager, storage: Path):
    keep(records, NOTE)
    path = file_in(storage, ".json")
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match="cannot be read") as caught:
        fetch(records, Note)
    assert str(path) in str(caught.value)


def test_every_file_of_a_partition_can_be_read_again_and_the_one_that_counts_comes_first(frames: FrameIOManager):
    partition = ("rows", "technical", "2026-02-22")
    assert frames.files_of(*partition) == []
    for count in (1, 2, 0, 1):
        frames.store(frame().iloc[:count], *partition)
    files = frames.files_of(*partition)
    assert files[0] == frames.file_of(*partition)
    assert len(frames.read(files[0], "rows")) == 1
    assert sorted(len(frames.read(file, "rows")) for file in files) == [0, 1, 2]
