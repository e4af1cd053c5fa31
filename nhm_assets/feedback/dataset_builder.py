"""Builds the dataset of one partition from documents."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import (
    EMBEDDING_FEATURES,
    FEATURE_NAMES,
    REAL,
    SYNTHETIC,
    conform,
    data_source,
)
from nhm_assets.domain.garbage_collector import gc_paused
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.domain.selection import Selection
from nhm_assets.feedback.accepted import GIVEN_BY, Accepted, Part
from nhm_assets.feedback.join import Join
from nhm_assets.feedback.judged_together import Judged
from nhm_assets.feedback.opinion_scores import labels_told
from nhm_assets.feedback.packed_texts import unpacked
from nhm_assets.feedback.quarantine import Entries, quarantine_entries
from nhm_assets.feedback.read_ahead import reading_ahead
from nhm_assets.feedback.reader import Reader
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
    judged = Judged(reader.specialist, window, selection, reader.database.codec_options)
    with reading_ahead() as ahead:
        for answer in ahead.each(reader.feedback(window)):
            judged.take(answer)
        accepted = Accepted(judged.accepted)
        judged.accepted.clear()
        join = Join(reader, accepted)
        join.run(ahead)
    rejected = judged.rejected + join.rejected()
    chosen = accepted.newest_per_opinion(join.is_usable(), min_rating=selection.min_rating)
    whole = reader.whole_feedback((rejection.document_id for rejection in rejected), window)
    entries = quarantine_entries(rejected, whole)
    numbers = accepted.opinions[chosen]
    result = WindowRead(
        rows=_rows(accepted.feedback, chosen, numbers, join),
        quarantine=entries,
        undated=reader.undated(),
        computed=join.computed(),
        stored=int(join.from_stored[numbers].sum()),
        scripted=judged.scripted,
        told=None,
    )
    texts = {
        "feedback_id": accepted.feedback.feedback_ids.take(chosen),
        "opinion_id": accepted.opinion_ids.take(numbers),
        "plan_id": join.plan_ids.take(numbers),
    }
    return result, texts, join.scores[numbers]


def _rows(feedback: Part, chosen: np.ndarray, numbers: np.ndarray, join: Join) -> pd.DataFrame:
    """The rows of the chosen feedback, on the opinions of these numbers, without their ids."""
    # Usually each feedback is the only one on its opinion. A copy of a million rows takes 200 MB.
    is_each_in_order = np.array_equal(numbers, np.arange(join.values.shape[1]))
    values = join.values if is_each_in_order else join.values[:, numbers]
    return pd.DataFrame(
        {
            "submitted_at": pd.DatetimeIndex(feedback.times[chosen].view("M8[us]"), tz="UTC"),
            "human_rating": feedback.ratings[chosen],
            "label": feedback.labels[chosen],
            "provenance": np.array(GIVEN_BY, "object")[feedback.provenances[chosen]],
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
