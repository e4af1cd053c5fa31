"""The files of made-up rows: the rows as Parquet, and a record that says how they were made."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from upath import UPath

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, FEATURE_NAMES
from nhm_assets.feedback.llm_rows import llm_file
from nhm_assets.generation.journal import Kept, Progress
from resources.storage_files import write_whole


def journal_file(folder: Path, specialist: str) -> Path:
    """Where the journal of a specialist's rows is."""
    return llm_file(folder, specialist).with_suffix(".jsonl")


def rows_frame(rows: Sequence[Kept]) -> pd.DataFrame:
    """The 26 features as float64, and the label; embeddings are missing, since no specialist stored any."""
    missing = dict.fromkeys(EMBEDDING_FEATURES, math.nan)
    features = pd.DataFrame([{**row.features, **missing} for row in rows], columns=list(FEATURE_NAMES))
    labels = pd.Series([row.label for row in rows], dtype="int64")
    return features.astype("float64").assign(label=labels)


def write_files(folder: Path, specialist: str, head: Mapping[str, Any], progress: Progress) -> Path:
    """Write both files, each completely or not at all.

    Returns:
        The file with the rows.
    """
    file = llm_file(folder, specialist)
    content = rows_frame(progress.rows).to_parquet(index=False)
    record = {
        **head,
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(progress.rows),
        "requests": progress.requests,
        "left_out": dict(sorted(progress.left_out.items())),
        "spent": asdict(progress.spent),
    }
    write_whole(UPath(file), content)
    write_whole(UPath(file.with_suffix(".json")), (json.dumps(record, indent=2) + "\n").encode())
    return file
