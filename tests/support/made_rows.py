"""The files that `nhm generate` writes, and whether all that is in them is valid."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import pandas as pd

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.llm_rows import feature_keys, llm_file, read_llm_rows
from nhm_assets.generation.files import unread_file
from nhm_assets.generation.made_plans import RECOMMENDATIONS
from tests.support.language_server import (
    reviewed_rows,
)
from tests.support.processes import ROOT


@cache
def stored_rows() -> pd.DataFrame:
    return reviewed_rows()


def file_of(home: Path) -> Path:
    """Rows that a training takes."""
    return llm_file(home / "made", "technical")


def unread_of(home: Path) -> Path:
    """Rows that nobody has judged."""
    return unread_file(home / "made", "technical")


def record(home: Path) -> dict[str, Any]:
    """Of unread rows, if there are any."""
    return json.loads((unread_of(home) if unread_of(home).exists() else file_of(home)).with_suffix(".json").read_text())


def journal(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(home).with_suffix(".jsonl").read_text().splitlines()]


def kept(home: Path) -> list[dict[str, Any]]:
    return [row for line in journal(home) if line["kind"] == "done" for row in line["rows"]]


def assert_all_valid(home: Path, count: int) -> pd.DataFrame:
    """What was written is a file of rows, as many, plausible, new, and made from plans and verdicts of Avro schemas.

    A verdict is what an opinion has of it: the recommendation, and why.
    """
    assert file_of(home).exists() != unread_of(home).exists(), "rows are read or unread"
    rows = read_llm_rows(file_of(home) if file_of(home).exists() else unread_of(home))
    plan_schema, verdict_schema = fastavro.parse_schema(schema("cognitive-plan")), verdict_of_an_opinion()
    assert len(rows) == len(kept(home)) == len({made["plan"]["plan_id"] for made in kept(home)}) == count
    assert not feature_keys(rows).duplicated().any()
    assert not feature_keys(rows).isin(set(feature_keys(stored_rows()))).any()
    for row, made in zip(rows.to_dict("records"), kept(home), strict=True):
        fastavro.schemaless_writer(io.BytesIO(), plan_schema, made["plan"], strict_allow_default=True)
        (said,) = (name for name, label in RECOMMENDATIONS.items() if label == row["label"])
        verdict = {"recommendation": said, "reasoning_summary": made["plan"]["reasoning_summary"]}
        fastavro.schemaless_writer(io.BytesIO(), verdict_schema, verdict, strict=True)
        assert {name: row[name] for name in COMPUTED_FEATURES} == compute_features(made["plan"])
        assert row["label"] == made["label"]
    train = stored_rows()[stored_rows()["split"] == "train"]
    for name in COMPUTED_FEATURES:
        assert rows[name].between(train[name].min(), train[name].max()).all()
    return rows


def schema(name: str) -> dict[str, Any]:
    """An Avro schema of the documents."""
    return json.loads((ROOT / f"docs/schemas/{name}.avsc").read_text())


def verdict_of_an_opinion() -> Any:
    """The schema of opinions, with the fields alone that a verdict has."""
    opinion = schema("specialist-opinion")
    fields = [field for field in opinion["fields"] if field["name"] in ("recommendation", "reasoning_summary")]
    return fastavro.parse_schema({**opinion, "fields": fields})
