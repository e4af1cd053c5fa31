"""The files of made-up rows: the rows as Parquet, and a record that says how they were made."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from upath import UPath

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, FEATURE_NAMES
from nhm_assets.domain.errors import UsageError
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


def unread_file(folder: Path, specialist: str) -> Path:
    """Where rows are that nobody has judged: no training looks there."""
    return llm_file(folder, specialist).with_suffix(".unread.parquet")


def write_files(
    folder: Path, specialist: str, head: Mapping[str, Any], progress: Progress, agreement: "Agreement | None"
) -> Path:
    """Write rows and record, each completely or not at all.

    Args:
        folder: for both.
        specialist: its name.
        head: of the journal.
        progress: of the journal; it has at least one row.
        agreement: who agrees with the rows; None: nobody yet.

    Returns:
        The file with the rows.

    Raises:
        UsageError: the agreement leaves out plans that were not made, or all of them.
    """
    rows = progress.rows if agreement is None else agreement.rows_of(progress)
    file = llm_file(folder, specialist) if agreement else unread_file(folder, specialist)
    content = rows_frame(rows).to_parquet(index=False)
    record = {
        **head,
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        "requests": progress.requests,
        "left_out": dict(sorted(progress.left_out.items())),
        "spent": asdict(progress.spent),
        "agreed_by": agreement.who if agreement else None,
        "without": sorted(agreement.without) if agreement else [],
    }
    write_whole(UPath(file), content)
    write_whole(
        UPath(journal_file(folder, specialist).with_suffix(".json")), (json.dumps(record, indent=2) + "\n").encode()
    )
    return file


@dataclass(frozen=True)
class Agreement:
    """Who agrees with the verdicts of the rows: another model, or people who have read them.

    Attributes:
        who: their name.
        without: ids of the plans whose verdicts they do not share.
    """

    who: str
    without: frozenset[str] = frozenset()

    def rows_of(self, progress: Progress) -> list[Kept]:
        """The rows that they agree with."""
        if unknown := self.without - {row.plan["plan_id"] for row in progress.rows}:
            raise UsageError(f"no plan of the journal has the id {', '.join(sorted(unknown))}")
        rows = [row for row in progress.rows if row.plan["plan_id"] not in self.without]
        if not rows:
            raise UsageError("there is no row to agree with: run the command without --agreed-by before")
        return rows
