"""Builds the dataset of one partition from documents."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from nhm_assets.domain.provenance import Selection, provenance_of
from nhm_assets.domain.text import is_string, is_unreadable
from nhm_assets.domain.times import lies_in
from nhm_assets.feedback.features import InvalidPlan, compute_features, has_unreadable_text
from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.opinion_scores import Scores, labels_told, scores_of
from nhm_assets.feedback.quarantine import quarantine_entries
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.rules import Feedback, Reason, Rejection, judge, newest_per_opinion
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.stored_features import needs_ours, parse_stored
from nhm_assets.feedback.synthetic import synthetic_rows

_UNKNOWN_EMBEDDING = (math.nan,) * len(EMBEDDING_FEATURES)


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
    quarantine: list[dict[str, Any]]
    undated: int
    computed: dict[str, dict[str, float]]
    stored: int
    scripted: int
    told: float | None


# Documents contain no reference cycles, so the collector would find nothing.
@gc_paused()
def read_window(reader: Reader, window: Window, selection: Selection) -> WindowRead:
    """Read, judge and join the documents of one specialist's window."""
    accepted: list[Feedback] = []
    rejected: list[Rejection] = []
    scripted = 0
    for document in reader.feedback(window):
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
    accepted.sort(key=lambda feedback: (*feedback[:5], feedback.plan_id or "", feedback.provenance))
    join = _Join(reader)
    for batch in batches(accepted):
        join.add(batch)
    rejected += join.rejected
    chosen = newest_per_opinion(join.accepted, min_rating=selection.min_rating)
    whole = reader.whole_feedback((rejection.document_id for rejection in rejected), window)
    entries = quarantine_entries(rejected, whole)
    return WindowRead(
        rows=_rows(chosen, join),
        quarantine=entries,
        undated=reader.undated(),
        computed=join.computed,
        stored=sum(feedback.opinion_id in join.from_stored for feedback in chosen),
        scripted=scripted,
        told=labels_told([join.scores[feedback.opinion_id] for feedback in chosen], [one.label for one in chosen]),
    )


class _Join:
    """Joins feedback with opinions, plans and features, batch by batch."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.accepted: list[Feedback] = []
        self.rejected: list[Rejection] = []
        self.plan_ids: dict[str, str] = {}
        self.scores: dict[str, Scores] = {}
        self.features: dict[str, Sequence[float]] = {}
        self.from_stored: set[str] = set()
        self.computed: dict[str, dict[str, float]] = {}
        self._faults: dict[str, Reason] = {}

    def add(self, batch: Sequence[Feedback]) -> None:
        """Accept or reject each feedback, depending on its opinion and plan."""
        new = [one for one in batch if one.opinion_id not in self.features and one.opinion_id not in self._faults]
        self._look_up({feedback.opinion_id: feedback.plan_id for feedback in new})
        for feedback in batch:
            if reason := self._faults.get(feedback.opinion_id):
                self.rejected.append(Rejection(feedback.document_id, reason))
            else:
                self.accepted.append(feedback)

    def _look_up(self, plan_of_feedback: Mapping[str, str | None]) -> None:
        opinions = self._reader.opinions(list(plan_of_feedback))
        self._faults |= dict.fromkeys(plan_of_feedback.keys() - opinions.keys(), Reason.UNKNOWN_OPINION)
        for opinion_id, opinion in opinions.items():
            plan_id = opinion.get("plan_id")
            self.scores[opinion_id] = scores_of(opinion)
            # If neither opinion nor feedback names a plan, the opinion has a plan of its own.
            named = plan_id if is_string(plan_id) else plan_of_feedback[opinion_id]
            if is_unreadable(named):
                self._faults[opinion_id] = Reason.UNREADABLE_DOCUMENT
            else:
                self.plan_ids[opinion_id] = named or opinion_id
        readable = [opinion_id for opinion_id in opinions if opinion_id not in self._faults]
        stored = self._reader.stored_features(dict.fromkeys(self.plan_ids[name] for name in readable))
        missing = []
        for opinion_id in readable:
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
            if has_unreadable_text(plan):
                self._faults[opinion_id] = Reason.UNREADABLE_DOCUMENT
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
        """The plan of each opinion: its own, else the ledger's. Only a map with a list of tasks counts."""
        own = self._reader.opinion_plans(opinion_ids) if opinion_ids else {}
        plans = {opinion_id: plan for opinion_id, plan in own.items() if _has_tasks(plan)}
        without = [opinion_id for opinion_id in opinion_ids if opinion_id not in plans]
        ledger = self._reader.ledger_plans(dict.fromkeys(self.plan_ids[opinion_id] for opinion_id in without))
        for opinion_id in without:
            plan = ledger.get(self.plan_ids[opinion_id])
            if _has_tasks(plan):
                plans[opinion_id] = plan
        return plans


def _has_tasks(plan: object) -> bool:
    return isinstance(plan, Mapping) and isinstance(plan.get("tasks"), list)


def _rows(chosen: Sequence[Feedback], join: _Join) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "feedback_id": [feedback.feedback_id for feedback in chosen],
            "opinion_id": [feedback.opinion_id for feedback in chosen],
            "plan_id": [join.plan_ids[feedback.opinion_id] for feedback in chosen],
            "submitted_at": pd.to_datetime([feedback.submitted_at for feedback in chosen], utc=True),
            "human_rating": [feedback.human_rating for feedback in chosen],
            "label": [feedback.label for feedback in chosen],
            "provenance": pd.Series([feedback.provenance for feedback in chosen], dtype="object"),
        }
    )
    values = np.array([join.features[feedback.opinion_id] for feedback in chosen], dtype="float64")
    features = pd.DataFrame(values.reshape(len(chosen), len(FEATURE_NAMES)), columns=list(FEATURE_NAMES))
    return pd.concat([rows, features], axis=1)


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
    real = read.rows.assign(source=REAL, split=temporal_split(read.rows["plan_id"]))
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
