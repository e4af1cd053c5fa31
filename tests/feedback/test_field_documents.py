"""Documents as they come from the field give the rows, labels, splits and rejections that were worked out apart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nhm_assets.demo.load import FILES, make_indexes, read_documents, replace_documents
from nhm_assets.domain.dataset_schema import SPLITS, counts, data_version, schema_faults
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import SPECIALISTS
from nhm_assets.feedback.dataset_builder import assemble, read_window
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.reader import CollectionNames, Reader
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.settings import Settings
from tests.support.documents import NOW

pytestmark = pytest.mark.shared
LONG_AFTER = NOW.replace(year=2027)


@pytest.fixture(scope="module")
def field(mongod_uri: str, field_documents: Path) -> Iterator[Database[dict[str, Any]]]:
    """A database with the documents, which the tests of this module only add features to."""
    settings = Settings()
    with MongoClient(mongod_uri, tz_aware=True) as client:
        database = client["test_field_documents"]
        make_indexes(database, settings)
        ensure_index(database[settings.features_collection])
        for file, collection in FILES.items():
            replace_documents(
                database, getattr(settings, collection), read_documents(field_documents / f"{file}.jsonl.gz")
            )
        yield database
        client.drop_database(database)


@pytest.mark.parametrize("specialist", SPECIALISTS)
def test_the_field_documents_come_to_what_is_expected(
    field: Database[dict[str, Any]], field_documents: Path, specialist: str
):
    expected = json.loads((field_documents / "EXPECTED.json").read_text(encoding="utf-8"))
    partition = Partition(expected["week"], specialist)
    window = partition.window(days=30, now=LONG_AFTER)
    assert [window.start.isoformat(), window.end.isoformat()] == expected["window"]
    reader = Reader(
        field,
        CollectionNames("specialist_feedback", "specialist_opinions", "cognitive_ledger", "plan_features"),
        specialist,
        None,
    )

    found = read_window(reader, window, min_rating=0.0)
    frame = assemble(found, partition, window, min_samples=1000, synthetic_fallback=False)
    assert {
        "rows": len(frame),
        "labels": counts(frame["label"]),
        "splits": {split: counts(frame["split"])[split] for split in SPLITS},
        "quarantined": reason_counts(found.quarantine),
        "undated": found.undated,
    } == expected["specialists"][specialist]
    assert schema_faults(frame) == []

    assert write_back(field.plan_features, found.computed, NOW) == len(found.computed) > 0
    again = assemble(
        read_window(reader, window, min_rating=0.0), partition, window, min_samples=1000, synthetic_fallback=False
    )
    assert data_version(again) == data_version(frame)
