"""Records: frozen, strict, and equal after they were stored."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from nhm_assets.domain.records import EvaluationReport, Metrics, TrainedModel
from tests.support.documents import WEEK, WEEK_END, WINDOW_START
from tests.support.reports import champion, metrics, report, trained_model

MADE = [trained_model(), metrics(), report(), report(champion=champion(0.8))]


@pytest.mark.parametrize("record", MADE, ids=lambda record: type(record).__name__)
def test_a_record_is_equal_after_it_was_stored_as_json(record):
    """The promotion searches by the digest of a report that was read back."""
    kept = type(record).model_validate_json(record.model_dump_json(indent=2))
    assert kept == record
    assert kept.digest() == record.digest()


@pytest.mark.parametrize("value", [1 / 3, 0.1 + 0.2, 5e-324, 0.30000000000000004])
def test_numbers_are_stored_exactly(value):
    kept = Metrics.model_validate_json(metrics(brier=value).model_dump_json())
    assert kept.brier == value


def test_a_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        trained_model().version = "9"


def test_an_unknown_field_is_an_error():
    kept = json.loads(metrics().model_dump_json()) | {"f2": 0.5}
    with pytest.raises(ValidationError, match="f2"):
        Metrics.model_validate_json(json.dumps(kept))


@pytest.mark.parametrize("kind", [TrainedModel, EvaluationReport, Metrics])
def test_a_missing_field_is_an_error(kind):
    with pytest.raises(ValidationError, match="Field required"):
        kind.model_validate_json("{}")


def test_equal_records_have_equal_digests():
    assert report().digest() == report().digest()
    assert len(report().digest()) == 32


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "3"},
        {"test_rows": 199},
        {"candidate": metrics(f1=0.8700000000000001)},
        {"champion": champion(0.8)},
        {"synthetic_test": True},
        {"scripted_rows": 1},
        {"window_end": datetime(2026, 3, 9, tzinfo=UTC)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_report_has_another_digest(changes):
    assert report(**changes).digest() != report().digest()


def test_a_trained_model_knows_its_partition_and_window():
    made = trained_model()
    assert made.partition.key == f"technical|{WEEK}"
    assert (made.window.start, made.window.end) == (WINDOW_START, WEEK_END)
