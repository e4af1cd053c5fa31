"""The files of made-up rows: the rows as Parquet, and a record that says how they were made."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pandas as pd
from upath import UPath

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, FEATURE_NAMES
from nhm_assets.domain.errors import DataError, UsageError
from nhm_assets.feedback.llm_agreement import record_file
from nhm_assets.feedback.llm_rows import llm_file
from nhm_assets.generation.journal import Journal, Kept, Progress
from resources.storage_files import write_whole

_IN_JOURNAL: Final = "rows_in_journal"
_NOTHING: Final = "there is no row to agree with: run the command without --agreed-by before"


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
    folder: Path, specialist: str, head: Mapping[str, Any], progress: Progress, agreed_by: str | None
) -> Path:
    """Write rows and record, each completely or not at all.

    Args:
        folder: for both.
        specialist: its name.
        head: of the journal.
        progress: of the journal; it has at least one row that nobody has rejected.
        agreed_by: who agrees with these: another model, or people who have read them; None: nobody yet.

    Returns:
        The file with the rows.
    """
    rows = progress.accepted
    file = llm_file(folder, specialist) if agreed_by else unread_file(folder, specialist)
    content = rows_frame(rows).to_parquet(index=False)
    record = {
        **head,
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        _IN_JOURNAL: len(progress.rows),
        "requests": progress.requests,
        "left_out": dict(sorted(progress.left_out.items())),
        "spent": asdict(progress.spent),
        "agreed_by": agreed_by,
        "without": sorted(progress.rejected),
    }
    write_whole(UPath(file), content)
    write_whole(UPath(record_file(file)), (json.dumps(record, indent=2) + "\n").encode())
    return file


def hand_over(folder: Path, specialist: str, who: str, count: int, without: Collection[str]) -> tuple[Path, int]:
    """Write the rows that people have read and agree with to where trainings look.

    Args:
        folder: with the journal, which nobody else may have open.
        specialist: its name.
        who: has read them.
        count: how many rows they have read at most.
        without: ids of the plans whose verdicts they do not share; they stay left out.

    Returns:
        The file, and how many rows it has.

    Raises:
        UsageError: there are no such plans or no rows, or the journal has more rows than they can have read.
        DataError: journal or record is damaged.
    """
    unread = unread_file(folder, specialist)
    read = min(count, _rows_read(record_file(unread), record_file(llm_file(folder, specialist))))
    journal = Journal(journal_file(folder, specialist), {"specialist": specialist}, {})
    progress = journal.progress
    if len(progress.rows) > read:
        raise UsageError(
            f"the journal has {len(progress.rows)} rows, but by --count or by the last file that was written there are"
            f" {read}: nobody agrees with the others. Run the command without --agreed-by, and read them too"
        )
    if unknown := set(without) - {row.plan["plan_id"] for row in progress.rows}:
        raise UsageError(f"no plan of the journal has the id {', '.join(sorted(unknown))}")
    if all(row.plan["plan_id"] in without for row in progress.accepted):
        raise UsageError(_NOTHING)
    if without:
        journal.reject(without)
    file = write_files(folder, specialist, journal.head, progress, who)
    for done in (unread, record_file(unread)):
        done.unlink(missing_ok=True)
    return file, len(progress.accepted)


def _rows_read(*records: Path) -> int:
    """How many rows the journal had when the first of these records that is there was written."""
    for path in records:
        if path.exists():
            try:
                return int(json.loads(path.read_bytes())[_IN_JOURNAL])
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path} is damaged. Run the command without --agreed-by, which writes it anew"
                ) from error
    raise UsageError(_NOTHING)
