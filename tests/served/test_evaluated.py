"""The report that says what was to be expected of a version."""

from pathlib import Path
from typing import Any

import pytest

from nhm_assets.served.evaluated import report_of
from resources.errors import StorageUnavailable
from resources.storage import RecordIOManager
from tests.support.documents import WEEK
from tests.support.reports import report

MODEL = "technical-evaluator"


@pytest.fixture
def log(database: Any) -> Any:
    """An audit log with version 2."""
    entry = {"_id": f"registered:{MODEL}:2", "specialist": "technical", "week": WEEK}
    database["model_audit_log"].insert_one(entry)
    return database["model_audit_log"]


def test_the_report_on_the_version_is_found_among_others_and_damaged_ones(log: Any, tmp_path: Path):
    records = RecordIOManager(str(tmp_path))
    records.store(report(), "evaluation_report", "technical", WEEK)
    records.store(report(version="3"), "evaluation_report", "technical", WEEK)
    records.file_of("evaluation_report", "technical", WEEK).write_bytes(b"{")
    assert report_of(log, str(tmp_path), MODEL, "2") == report()
    assert report_of(log, str(tmp_path), MODEL, "3") is None


def test_while_the_store_is_away_nobody_takes_the_report_for_missing(log: Any, tmp_path: Path, monkeypatch):
    """The reference of a version would be stored without its important features, and drift_sensor would never act."""
    records = RecordIOManager(str(tmp_path))
    records.store(report(), "evaluation_report", "technical", WEEK)
    kind = type(records.file_of("evaluation_report", "technical", WEEK))
    read = kind.read_bytes

    def away(self: Any) -> bytes:
        if self.suffix == ".json":
            raise ConnectionResetError("connection reset by peer")
        return read(self)

    monkeypatch.setattr(kind, "read_bytes", away)
    with pytest.raises(StorageUnavailable):
        report_of(log, str(tmp_path), MODEL, "2")
