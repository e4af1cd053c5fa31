"""One window with 300,000 documents that are all rejected: large, and no two of them alike."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import QUARANTINE
from nhm_assets.feedback.quarantine import LARGEST_TOGETHER
from tests.support.documents import WEEK, feedback
from tests.support.nhm import NHM, environment, read_report

COUNT = 300_000
MOST_MIB = 650
RETRAIN = ("retrain", "--week", WEEK, "--specialist", "technical")


def rejected(count: int) -> Iterator[dict[str, Any]]:
    """Feedback of two thousand characters whose recommendation nobody knows."""
    for number in range(count):
        yield feedback(number, human_recommendation="perhaps", feedback_notes=f"{number} " * 300)


MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, _, used = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
"""
"""A small process between this one and the measured one, whose figure would begin with the memory of its parent."""


def retrain(report: Path, **settings: object) -> tuple[float, float]:
    """Seconds of a retraining, and the most memory that its process had, in MiB."""
    started, memory = time.monotonic(), report.with_suffix(".memory")
    with report.with_suffix(".log").open("w") as log:
        command = [sys.executable, "-c", MEASURE, memory, NHM, *RETRAIN, "--report", report]
        subprocess.run(command, env=environment(**settings), stdout=log, stderr=log, check=True)
    return time.monotonic() - started, int(memory.read_text()) / 1024


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_hundreds_of_thousands_of_rejects_take_little_memory_and_leave_in_batches(
    database: Database, mongod_uri: str, tmp_path: Path
):
    source, quarantine = database["specialist_feedback"], database[QUARANTINE]
    source.create_index([("specialist_type", 1), ("submitted_at", 1)])
    documents = rejected(COUNT)
    for _ in range(COUNT // 10_000):
        source.insert_many([next(documents) for _ in range(10_000)], ordered=False)
    settings = {"nhm_home": tmp_path / "home", "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    settings |= {"allow_synthetic_fallback": "false"}
    report = tmp_path / "report.json"

    seconds, mebibytes = retrain(report, **settings)
    print(f"{COUNT:,} rejected documents: {seconds:.0f} s, {mebibytes:.0f} MiB")
    result = read_report(report)["technical"]
    assert result["outcome"] == "insufficient_data", result["error"]
    assert result["dataset"]["quarantined"] == {"unknown_recommendation": COUNT}
    assert mebibytes < MOST_MIB
    assert quarantine.count_documents({}) == COUNT
    trimmed = quarantine.count_documents({"trimmed": True})
    assert 0 < COUNT - trimmed < LARGEST_TOGETHER / 1000
    size = database.command("collStats", QUARANTINE)["size"]
    assert size < LARGEST_TOGETHER + COUNT * 1500

    source.delete_many({"feedback_id": {"$ne": "feedback-7"}})
    seconds, mebibytes = retrain(report, **settings)
    print(f"all but one of them deleted again: {seconds:.0f} s, {mebibytes:.0f} MiB")
    assert read_report(report)["technical"]["dataset"]["quarantined"] == {"unknown_recommendation": 1}
    assert quarantine.count_documents({}) == 1
