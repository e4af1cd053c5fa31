"""Stored records of every version that was ever written: each is read, and keeps its digest."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import EvaluationReport, ForeignChampion, Promotion, Rollout, TrainedModel
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.domain.stored_record import StoredRecord
from nhm_assets.evaluation.gate import failed_gate, judge
from tests.support.processes import ROOT
from tests.support.reports import RULES, report

SAMPLES = ROOT / "tests/data/records"
RECORDED = {
    "EvaluationReport.1": "c48fb5a6346c669099ff5eda4c02c309",
    "EvaluationReport.2": "f8b9b6ee8ffdbdcd01920f7121b72718",
    "EvaluationReport.3": "d617c5ddc29dd30f522384c2a12b3e2e",
    "EvaluationReport.4": "8277eee3ae62cdd6f6ed53159d9d1efb",
    "EvaluationReport.5": "8aac62de60d84ad96616e559b2a72f18",
    "EvaluationReport.6": "1d44946e8bbd22eddb8d10cc628fa16f",
    "EvaluationReport.7": "f65d08b6524cd7909def97a0325546b4",
    "EvaluationReport.8": "ea6ea5c4d55ea16b6cac8a751e96c050",
    "EvaluationReport.9": "67fc79354f3598a1ce758d09a51e9358",
    "Promotion.1": "811953ce2aaa6e34d18c637cc391077a",
    "Rollout.1": "1557f06c1fb1d0affde5ce98a281cfcc",
    "ServedQuality.1": "ac921636bd32098945aae122bcd56833",
    "ServedQuality.2": "e23a15c0df912f394b0afe2258ab9b5d",
    "ServedQuality.3": "ebe1175bef922cca65da49258ae4bd22",
    "TrainedModel.1": "211bd47c70d9394326f1bf15f5a46b9b",
    "TrainedModel.2": "d92a00a46305b52a125854d17446f130",
    "TrainedModel.3": "136aabd5569020ce13f1b8257ad88f09",
}
"""Sample -> the digest that the release which wrote it computed. Verdicts are recorded under that digest."""
KINDS: dict[str, type[StoredRecord]] = {
    kind.__name__: kind for kind in (EvaluationReport, Promotion, Rollout, ServedQuality, TrainedModel)
}


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.json").read_text()


def read(name: str) -> Any:
    return KINDS[name.split(".")[0]].model_validate_json(sample(name))


def newest(kind: type[StoredRecord]) -> dict[str, Any]:
    return json.loads(sample(f"{kind.__name__}.{kind.current_version()}"))


def unlisted_fields(kind: type[StoredRecord], stored: dict[str, Any]) -> set[str]:
    """Fields of the record that its newest sample lacks. `schema_version` itself came later than the first samples."""
    return kind.model_fields.keys() - stored.keys() - {"schema_version"}


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_of_every_version_is_read_and_keeps_its_digest(name: str):
    record = read(name)
    assert record.schema_version == int(name.split(".")[1])
    assert record.digest() == RECORDED[name]
    assert type(record).model_validate(json.loads(sample(name))) == record


@pytest.mark.parametrize("name", RECORDED)
def test_an_upgraded_record_that_is_stored_again_keeps_version_and_digest(name: str):
    """The promotion looks for the verdicts of a report that it reads back."""
    record = read(name)
    again = type(record).model_validate_json(record.model_dump_json(indent=2))
    assert again == record
    assert again.digest() == RECORDED[name]


def test_every_sample_is_read():
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(RECORDED)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_version_of_a_record_has_a_sample_with_all_its_fields(kind: type[StoredRecord]):
    """Whoever adds a field raises the version, lists it in ADDED, and stores a sample: see CONTRIBUTING.md."""
    versions = range(1, kind.current_version() + 1)
    assert {f"{kind.__name__}.{version}" for version in versions} <= set(RECORDED)
    assert unlisted_fields(kind, newest(kind)) == set()
    assert max(kind.ADDED.values(), default=1) == kind.current_version()
    for version in versions:
        later = {name for name, added in kind.ADDED.items() if added > version}
        assert later.isdisjoint(json.loads(sample(f"{kind.__name__}.{version}")))


def test_a_field_that_no_sample_has_is_found():
    later = {name for name, version in EvaluationReport.ADDED.items() if version > 3}
    assert unlisted_fields(EvaluationReport, json.loads(sample("EvaluationReport.3"))) == later
    assert "foreign_champion" in later


def test_what_the_first_reports_did_not_know_is_none():
    made = read("EvaluationReport.1")
    assert (made.scripted_rows, made.compared_with, made.foreign_champion) == (None, "1", None)
    assert made.champion.version == "1"


def test_a_first_report_without_a_champion_was_compared_with_none():
    content = json.loads(sample("EvaluationReport.1")) | {"champion": None}
    assert EvaluationReport.model_validate(content).compared_with is None


def test_later_reports_keep_what_they_know():
    assert read("EvaluationReport.2").scripted_rows == 3
    assert read("EvaluationReport.3").compared_with == "1"
    foreign = ForeignChampion(version="1", reason="this platform did not register it")
    assert read("EvaluationReport.4").foreign_champion == foreign
    assert read("EvaluationReport.5").flip_rate is None
    assert (read("EvaluationReport.7").flip_rate, read("EvaluationReport.7").settling.plans) == (0.135, 420)


@pytest.mark.parametrize("version", range(1, EvaluationReport.current_version() + 1))
def test_the_gate_judges_a_report_of_every_version(version: int):
    verdicts = {verdict.check: verdict for verdict in judge(read(f"EvaluationReport.{version}"), RULES)}
    assert failed_gate(list(verdicts.values())) == []
    counted = "before feedback by scripts was counted" not in verdicts["data_source_allowed"].reason
    assert counted == (version > 1)


def test_a_new_report_is_of_the_current_version():
    assert report().schema_version == EvaluationReport.current_version()


def test_a_record_of_a_newer_release_is_refused_with_the_reason():
    content = json.loads(report().model_dump_json()) | {"schema_version": EvaluationReport.current_version() + 1}
    with pytest.raises(DataError, match=r"a newer release wrote it\. Install that release"):
        EvaluationReport.model_validate_json(json.dumps(content))


@pytest.mark.parametrize("version", ["2", None, 0.5])
def test_a_version_that_is_no_number_is_an_error(version: object):
    content = json.loads(report().model_dump_json()) | {"schema_version": version}
    with pytest.raises(ValidationError, match="schema_version"):
        EvaluationReport.model_validate(content)


def test_a_report_that_lacks_a_field_of_its_own_version_is_an_error():
    content = json.loads(report().model_dump_json())
    del content["scripted_rows"]
    with pytest.raises(ValidationError, match="scripted_rows"):
        EvaluationReport.model_validate(content)
