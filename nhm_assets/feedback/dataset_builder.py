"""From documents to the dataset of one partition."""

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.features import InvalidPlan, compute_features
from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.quarantine import quarantine_entries
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.rules import Feedback, Reason, Rejection, judge, newest_per_opinion
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.stored_features import needs_ours, parse_stored
from nhm_assets.feedback.synthetic import synthetic_rows

_UNKNOWN_EMBEDDING = (math.nan,) * len(EMBEDDING_FEATURES)


@dataclass(frozen=True)
class WindowRead:
    """What the documents of one window come to.

    Attributes:
        rows: real rows of the dataset, not yet split.
        quarantine: rejected documents with their reasons.
        undated: feedback without a time, over all time.
        computed: our features, by plan id, of plans that have no stored ones.
        stored: how many rows use stored features.
    """

    rows: pd.DataFrame
    quarantine: list[dict[str, Any]]
    undated: int
    computed: dict[str, dict[str, float]]
    stored: int


def read_window(reader: Reader, window: Window, *, min_rating: float) -> WindowRead:
    """Read, judge and join the documents of one specialist's window."""
    with _collector_paused():
        return _read_window(reader, window, min_rating)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking all rows again and again: documents hold no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_window(reader: Reader, window: Window, min_rating: float) -> WindowRead:
    accepted: list[Feedback] = []
    rejected: list[Rejection] = []
    for document in reader.feedback(window):
        match judge(document, window):
            case Feedback() as feedback:
                accepted.append(feedback)
            case Rejection() as rejection:
                rejected.append(rejection)
    accepted.sort(key=lambda one: (*one[:5], one.plan_id or ""))
    join = _Join(reader)
    for batch in batches(accepted):
        join.add(batch)
    rejected += join.rejected
    chosen = newest_per_opinion(join.accepted, min_rating=min_rating)
    entries = quarantine_entries(rejected, reader.whole_feedback(one.document_id for one in rejected))
    return WindowRead(
        rows=_rows(chosen, join),
        quarantine=entries,
        undated=reader.undated(),
        computed=join.computed,
        stored=sum(one.opinion_id in join.from_stored for one in chosen),
    )


class _Join:
    """Finds opinion, plan and features of feedback, a batch at a time."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.accepted: list[Feedback] = []
        self.rejected: list[Rejection] = []
        self.plan_ids: dict[str, str] = {}
        self.features: dict[str, Sequence[float]] = {}
        self.from_stored: set[str] = set()
        self.computed: dict[str, dict[str, float]] = {}
        self._faults: dict[str, Reason] = {}

    def add(self, batch: Sequence[Feedback]) -> None:
        """Judge this feedback by the opinions and plans it is about."""
        new = [one for one in batch if one.opinion_id not in self.features]
        self._find({one.opinion_id: one.plan_id for one in new if one.opinion_id not in self._faults})
        for one in batch:
            if reason := self._faults.get(one.opinion_id):
                self.rejected.append(Rejection(one.document_id, reason))
            else:
                self.accepted.append(one)

    def _find(self, wanted: Mapping[str, str | None]) -> None:
        found = self._reader.plan_ids(list(wanted))
        self._faults |= dict.fromkeys(wanted.keys() - found.keys(), Reason.UNKNOWN_OPINION)
        for opinion_id, plan_id in found.items():
            # An opinion that names no plan stands for a plan of its own.
            named = plan_id if isinstance(plan_id, str) else wanted[opinion_id]
            self.plan_ids[opinion_id] = named or opinion_id
        stored = self._reader.stored_features(dict.fromkeys(self.plan_ids[one] for one in found))
        missing = []
        for opinion_id in found:
            values = parse_stored(stored.get(self.plan_ids[opinion_id]))
            if values is None:
                missing.append(opinion_id)
            else:
                self.features[opinion_id] = values
                self.from_stored.add(opinion_id)
        self._compute(sorted(missing), stored)

    def _compute(self, opinion_ids: Sequence[str], stored: Mapping[str, Mapping[str, Any]]) -> None:
        plans = self._plans(opinion_ids)
        for opinion_id in opinion_ids:
            plan = plans.get(opinion_id)
            if plan is None:
                self._faults[opinion_id] = Reason.MISSING_PLAN
                continue
            try:
                features = compute_features(plan)
            except InvalidPlan:
                self._faults[opinion_id] = Reason.INVALID_PLAN
                continue
            self.features[opinion_id] = (*features.values(), *_UNKNOWN_EMBEDDING)
            plan_id = self.plan_ids[opinion_id]
            if needs_ours(stored.get(plan_id)):
                self.computed.setdefault(plan_id, features)

    def _plans(self, opinion_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Plan of each opinion: its own, else the ledger's; only maps with a list of tasks count."""
        own = self._reader.opinion_plans(opinion_ids) if opinion_ids else {}
        plans = {opinion_id: plan for opinion_id, plan in own.items() if _has_tasks(plan)}
        elsewhere = [one for one in opinion_ids if one not in plans]
        ledger = self._reader.ledger_plans(dict.fromkeys(self.plan_ids[one] for one in elsewhere))
        for opinion_id in elsewhere:
            plan = ledger.get(self.plan_ids[opinion_id])
            if _has_tasks(plan):
                plans[opinion_id] = plan
        return plans


def _has_tasks(plan: object) -> bool:
    return isinstance(plan, Mapping) and isinstance(plan.get("tasks"), list)


def _rows(chosen: Sequence[Feedback], join: _Join) -> pd.DataFrame:
    described = pd.DataFrame(
        {
            "feedback_id": [one.feedback_id for one in chosen],
            "opinion_id": [one.opinion_id for one in chosen],
            "plan_id": [join.plan_ids[one.opinion_id] for one in chosen],
            "submitted_at": pd.to_datetime([one.submitted_at for one in chosen], utc=True),
            "human_rating": [one.human_rating for one in chosen],
            "label": [one.label for one in chosen],
        }
    )
    features = np.array([join.features[one.opinion_id] for one in chosen], dtype="float64")
    numbers = pd.DataFrame(features.reshape(len(chosen), len(FEATURE_NAMES)), columns=list(FEATURE_NAMES))
    return pd.concat([described, numbers], axis=1)


def assemble(
    read: WindowRead, partition: Partition, window: Window, *, min_samples: int, synthetic_fallback: bool
) -> pd.DataFrame:
    """The partition's dataset: real rows split by time, filled up with synthetic ones where that is allowed.

    Args:
        read: what the documents came to.
        partition: whose dataset it is; decides the synthetic rows.
        window: the time that the rows lie in.
        min_samples: rows below which synthetic ones are added.
        synthetic_fallback: whether they may be added at all.
    """
    real = read.rows.assign(source=REAL, split=temporal_split(read.rows["plan_id"]))
    missing = max(0, min_samples - len(real))
    if not missing or not synthetic_fallback:
        return conform(real)
    added = synthetic_rows(partition, window, missing).assign(**dict.fromkeys(EMBEDDING_FEATURES, math.nan))
    if real.empty:
        return conform(added.assign(split=temporal_split(added["plan_id"])))
    return conform(pd.concat([real, added], ignore_index=True))


def describe(frame: pd.DataFrame, read: WindowRead, quarantined: Mapping[str, int], window: Window) -> dict[str, Any]:
    """What is kept beside the rows: plain JSON that follows from the documents alone."""
    return {
        "window": [window.start.isoformat(), window.end.isoformat()],
        "data_source": data_source(frame) if len(frame) else REAL,
        "quarantined": dict(quarantined),
        "undated": read.undated,
        "real_rows": int((frame["source"] == REAL).sum()),
        "synthetic_rows": int((frame["source"] == SYNTHETIC).sum()),
        "stored_features_rows": read.stored,
    }
