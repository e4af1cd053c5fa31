"""Every rejected document fits into the quarantine, however large, deep or unreadable it is."""

from collections.abc import Callable
from typing import Any

import pytest
from bson import Binary, Code, Regex, decode, encode
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import QUARANTINE
from nhm_assets.domain.partitions import Partition
from nhm_assets.feedback.quarantine import quarantine_entries, replace_quarantine
from nhm_assets.feedback.rules import Reason, Rejection
from nhm_assets.feedback.trimming import DEEPEST, LARGEST, trimmed
from resources.mongo import tolerant_decoding
from tests.support.documents import NOW, WEEK, Document, feedback
from tests.support.strange_values import BAD_BYTES, as_stored

MIB = 1024 * 1024
ALMOST_16_MIB = 16 * MIB - 1000


def nested(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"inner": value}
    return value


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: {"feedback_notes": "x" * ALMOST_16_MIB}, id="a long text"),
        pytest.param(lambda: {"feedback_notes": "ü" * (ALMOST_16_MIB // 2)}, id="a long text that is not ASCII"),
        pytest.param(lambda: {"metadata": {"raw": Binary(b"x" * ALMOST_16_MIB)}}, id="large binary data"),
        pytest.param(lambda: {"metadata": {"code": Code("x" * ALMOST_16_MIB)}}, id="long code"),
        pytest.param(lambda: {"metadata": ["item"] * (MIB // 2)}, id="a long list"),
        pytest.param(lambda: {"metadata": {str(number): number for number in range(MIB // 2)}}, id="many fields"),
        pytest.param(lambda: {"k" * ALMOST_16_MIB: 1}, id="a long name"),
        pytest.param(lambda: {"_id": "x" * (ALMOST_16_MIB // 2)}, id="a long _id"),
        pytest.param(lambda: {"metadata": nested(177)}, id="as deep as MongoDB stores"),
        pytest.param(lambda: {"metadata": nested(170), "feedback_notes": "x" * MIB}, id="deep and long"),
    ],
)
def test_a_document_as_large_and_deep_as_mongodb_stores_fits_into_quarantine(
    database: Database, made: Callable[[], Document]
):
    document = {**feedback(1, _id=1, human_rating="bad"), **made()}
    database.specialist_feedback.insert_one(document)
    found = database.specialist_feedback.find()
    entries = quarantine_entries([Rejection(document["_id"], Reason.INVALID_RATING)], found)
    partition = Partition.parse(WEEK, "technical")
    replace_quarantine(database[QUARANTINE], entries, partition=partition, run_id="run", now=NOW)
    (kept,) = database[QUARANTINE].find()
    assert kept["trimmed"]
    assert len(encode(kept)) < 2 * LARGEST
    assert kept["document"]["feedback_id"] == "feedback-1"
    assert kept["document"]["human_rating"] == "bad"


def test_a_usual_document_is_kept_as_it_is():
    document = feedback(1, _id=1, metadata={"a": [1, {"b": Regex("x")}], "long": "x" * 4000, "deep": nested(40)})
    assert trimmed(document) == (document, False)


def test_what_was_cut_off_is_said():
    kept, _ = trimmed({"text": "x" * MIB, "deep": nested(DEEPEST), "items": ["y" * 1000] * 1000})
    assert kept["text"].endswith(f"x... (cut off: {MIB} characters in all)")
    assert "(cut off: deeper levels)" in str(kept["deep"])
    assert kept["items"][-1] == "... (cut off: 1000 items in all)"


def test_bytes_that_are_not_utf8_are_written_out():
    """Others read the quarantine too, and their clients stop at text that is not UTF-8."""
    stored = as_stored({BAD_BYTES: {"a": [f"b{BAD_BYTES}"], "c": Code(BAD_BYTES), "r": Regex(BAD_BYTES)}})
    kept, has_cut = trimmed(decode(stored.raw, tolerant_decoding()))
    assert not has_cut
    (name,) = kept
    assert name == r"\xff\xfe\xc3(\x80"
    assert kept[name]["a"] == [rf"b{name}"]
    assert decode(encode(kept)) == kept
