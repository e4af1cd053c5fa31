"""Documents from the field give the rows, labels, splits and rejections that an independent program worked out."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nhm_assets.demo.load import FILES, make_indexes, read_documents, replace_documents
from nhm_assets.domain.dataset_schema import SPLITS, counts, data_version, schema_faults
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import FIVE
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, read_window
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.settings import Settings
from tests.support.documents import NOW, Document
from tests.support.windows import ALL, NAMES

LONG_AFTER = NOW.replace(year=2027)


@contextmanager
def loaded(uri: str, folder: Path) -> Iterator[Database[Document]]:
    """A database with the documents of this folder."""
    settings = Settings()
    with MongoClient(uri, tz_aware=True) as client:
        database = client[f"test_field_{uuid.uuid4().hex[:12]}"]
        make_indexes(database, settings)
        ensure_index(database[settings.features_collection])
        for file, collection in FILES.items():
            replace_documents(database, getattr(settings, collection), read_documents(folder / f"{file}.jsonl.gz"))
        yield database
        client.drop_database(database)


@pytest.fixture(scope="module")
def whole_field(mongod_uri: str, field_documents: Path) -> Iterator[Database[Document]]:
    """A database that the tests of this module share; they only add features to it."""
    with loaded(mongod_uri, field_documents) as database:
        yield database


def assert_results_in(expected: dict[str, Any], database: Database[Document], specialist: str) -> None:
    """The dataset has the expected counts, and still the same rows once our features are stored."""
    partition = Partition(expected["week"], specialist)
    window = partition.window(days=30, now=LONG_AFTER)
    assert [window.start.isoformat(), window.end.isoformat()] == expected["window"]
    reader = Reader(database, NAMES, specialist, None)

    def build() -> tuple[WindowRead, pd.DataFrame]:
        result = read_window(reader, window, ALL)
        return result, assemble(result, partition, window, min_samples=1000, synthetic_fallback=False)

    result, frame = build()
    assert {
        "rows": len(frame),
        "labels": counts(frame["label"]),
        "splits": {split: counts(frame["split"])[split] for split in SPLITS},
        "quarantined": reason_counts(result.quarantine),
        "undated": result.undated,
    } == expected["specialists"][specialist]
    assert schema_faults(frame) == []
    assert write_back(database.plan_features, result.computed, NOW) == len(result.computed) > 0
    assert data_version(build()[1]) == data_version(frame)


def expected_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "EXPECTED.json").read_text(encoding="utf-8"))


def test_a_slice_of_the_field_results_in_the_expected_dataset(mongod_uri: str, field_slice: Path):
    with loaded(mongod_uri, field_slice) as database:
        assert_results_in(expected_of(field_slice), database, "technical")


@pytest.mark.servers
@pytest.mark.shared
@pytest.mark.parametrize("specialist", FIVE)
def test_the_whole_field_results_in_the_expected_datasets(
    whole_field: Database[Document], field_documents: Path, specialist: str
):
    assert_results_in(expected_of(field_documents), whole_field, specialist)
