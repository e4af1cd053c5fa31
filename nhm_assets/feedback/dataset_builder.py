"""Builds the dataset of one partition from documents."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import (
    EMBEDDING_FEATURES,
    FEATURE_NAMES,
    REAL,
    SCRIPTED,
    SYNTHETIC,
    conform,
    data_source,
)
from nhm_assets.domain.garbage_collector import gc_paused
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.domain.provenance import provenance_of
from nhm_assets.domain.selection import Selection
from nhm_assets.domain.times import lies_in
from nhm_assets.feedback.join import Join
from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.opinion_scores import labels_told
from nhm_assets.feedback.packed_texts import packed, unpacked
from nhm_assets.feedback.quarantine import Entries, quarantine_entries
from nhm_assets.feedback.read_ahead import reading_ahead
from nhm_assets.feedback.reader import Document, Reader
from nhm_assets.feedback.rules import Feedback, Rejection, by_time, judge, newest_per_opinion
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.synthetic import synthetic_rows

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WindowRead:
    """What the documents of one window result in.

    Attributes:
        rows: real rows of the dataset, not yet split.
        quarantine: rejected documents with their reasons.
        undated: number of feedback documents without a time, over all time.
        computed: features computed here, by plan id, for plans that have no stored ones.
        stored: number of rows with stored features.
        scripted: number of feedback documents in the window that scripts made, learned from or not.
        told: fraction of labels that can be told from the opinions' own scores; None if there are too few rows.
    """

    rows: pd.DataFrame
    quarantine: Entries
    undated: int
    computed: Mapping[str, dict[str, float]]
    stored: int
    scripted: int
    told: float | None


# Documents contain no reference cycles, so the collector would find nothing.
@gc_paused()
def read_window(reader: Reader, window: Window, selection: Selection) -> WindowRead:
    """Read, judge and join the documents of one specialist's window."""
    result, texts, scores = _read(reader, window, selection)
    # Only now the objects of the documents are freed; what follows needs their memory.
    for name in list(texts):
        result.rows[name] = unpacked(texts.pop(name))
    return replace(result, told=labels_told(scores, result.rows["label"].to_numpy()))


def _read(
    reader: Reader, window: Window, selection: Selection
) -> tuple[WindowRead, dict[str, "pa.LargeStringArray"], np.ndarray]:
    """What was read, without the ids in its rows; the ids; and the scores of the rows' opinions."""
    with reading_ahead() as ahead:
        accepted, rejected, scripted = _judged(ahead.each(batches(reader.feedback(window))), window, selection)
        join = Join(reader, accepted)
        join.run(ahead)
    joined, more_rejected = join.outcomes()
    rejected += more_rejected
    chosen = newest_per_opinion(joined, min_rating=selection.min_rating)
    whole = reader.whole_feedback((rejection.document_id for rejection in rejected), window)
    entries = quarantine_entries(rejected, whole)
    numbers = np.fromiter((join.number[one.opinion_id] for one in chosen), "int64", len(chosen))
    # The columns of a million rows need its hundred megabytes.
    join.number.clear()
    result = WindowRead(
        rows=_rows(chosen, numbers, join),
        quarantine=entries,
        undated=reader.undated(),
        computed=join.computed(),
        stored=int(join.from_stored[numbers].sum()),
        scripted=scripted,
        told=None,
    )
    texts = {
        "feedback_id": packed(one.feedback_id for one in chosen),
        "opinion_id": packed(one.opinion_id for one in chosen),
        "plan_id": packed(join.plan_ids[number] for number in numbers),
    }
    return result, texts, join.scores[numbers]


def _judged(
    read: Iterable[list[Document]], window: Window, selection: Selection
) -> tuple[list[Feedback], list[Rejection], int]:
    """The feedback that passes the rules for a document alone, in order; the rest; and the number made by scripts."""
    accepted: list[Feedback] = []
    rejected: list[Rejection] = []
    scripted = 0
    for document in chain.from_iterable(read):
        provenance = provenance_of(document, selection.scripted_prefixes)
        if provenance == SCRIPTED and lies_in(window, document.get("submitted_at")):
            scripted += 1
            # A script's documents would fill the quarantine, and nobody would mend them.
            if not selection.include_scripted:
                continue
        match judge(document, window, provenance):
            case Feedback() as feedback:
                accepted.append(feedback)
            case Rejection() as rejection:
                rejected.append(rejection)
    in_order = by_time(accepted, key=lambda feedback: (*feedback[1:5], feedback.plan_id or "", feedback.provenance))
    return in_order, rejected, scripted


def _rows(chosen: Sequence[Feedback], numbers: np.ndarray, join: Join) -> pd.DataFrame:
    """The rows without their ids."""
    # Usually each feedback is the only one on its opinion. A copy of a million rows takes 200 MB.
    is_each_in_order = np.array_equal(numbers, np.arange(join.values.shape[1]))
    values = join.values if is_each_in_order else join.values[:, numbers]
    return pd.DataFrame(
        {
            "submitted_at": pd.to_datetime([feedback.submitted_at for feedback in chosen], utc=True),
            "human_rating": [feedback.human_rating for feedback in chosen],
            "label": [feedback.label for feedback in chosen],
            "provenance": pd.Series([feedback.provenance for feedback in chosen], dtype="object"),
            **dict(zip(FEATURE_NAMES, values, strict=True)),
        },
        copy=False,
    )


def assemble(
    read: WindowRead, partition: Partition, window: Window, *, min_samples: int, synthetic_fallback: bool
) -> pd.DataFrame:
    """The partition's dataset: real rows split by time, and synthetic rows where they are allowed and needed.

    Args:
        read: what the documents of the window result in.
        partition: the dataset's partition, which also determines the synthetic rows.
        window: the times that the rows lie in.
        min_samples: number of rows below which synthetic rows are added.
        synthetic_fallback: whether synthetic rows are allowed.
    """
    real = read.rows.copy(deep=False)
    real["source"], real["split"] = REAL, temporal_split(read.rows["plan_id"])
    missing = max(0, min_samples - len(real))
    if not missing or not synthetic_fallback:
        return conform(real)
    added = synthetic_rows(partition, window, missing).assign(**dict.fromkeys(EMBEDDING_FEATURES, math.nan))
    if real.empty:
        return conform(added.assign(split=temporal_split(added["plan_id"])))
    return conform(pd.concat([real, added], ignore_index=True))


def describe(frame: pd.DataFrame, read: WindowRead, quarantined: Mapping[str, int], window: Window) -> dict[str, Any]:
    """What is stored beside the rows: plain JSON that depends only on the documents."""
    return {
        "window": [window.start.isoformat(), window.end.isoformat()],
        "data_source": data_source(frame) if len(frame) else REAL,
        "quarantined": dict(quarantined),
        "undated": read.undated,
        "scripted": read.scripted,
        "told_by_scores": read.told,
        "real_rows": int((frame["source"] == REAL).sum()),
        "synthetic_rows": int((frame["source"] == SYNTHETIC).sum()),
        "stored_features_rows": read.stored,
    }
