"""How far the plans, answers and labels of a week have moved from what the served version learned."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.drift_records import Drift
from nhm_assets.domain.text import is_string
from nhm_assets.drift.baseline import CONFIDENCE, RISK, Baseline
from nhm_assets.drift.shifts import shifts
from nhm_assets.evaluation.served_plans import feature_values
from nhm_assets.feedback.mongo_batches import id_batches
from nhm_assets.served.columns import Answers

if TYPE_CHECKING:
    from pymongo.collection import Collection

FEWEST: Final = 20
"""Plans, answers or labels without which nothing is compared."""


def read_features(collection: "Collection[dict[str, Any]]", plan_ids: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """The stored features of these plans: the ids of those that have them, and one row for each, shape (n, 26).

    Features that the platform computed are left out, and so are plans without usable ones. Null is NaN.
    """
    known, blocks = [], [np.empty((0, len(FEATURE_NAMES)))]
    for ids, rows in feature_blocks(collection, sorted(set(filter(None, plan_ids)))):
        known += ids
        blocks.append(rows)
    return known, np.concatenate(blocks)


def feature_blocks(
    collection: "Collection[dict[str, Any]]", plan_ids: Iterable[str]
) -> Iterator[tuple[list[str], np.ndarray]]:
    """The same, of some plans at a time."""
    fields = {"_id": 0, "plan_id": 1, "features": 1}
    for ids in id_batches(plan_ids):
        query = {"plan_id": {"$in": ids}, "extractor": {"$exists": False}}
        asked = set(ids)
        known, rows = [], []
        for document in collection.find(query, fields):
            plan_id, row = document["plan_id"], feature_values(document.get("features"))
            # What the server calls equal may differ: a collation ignores case, an array equals each of its elements.
            if row is not None and is_string(plan_id) and plan_id in asked:
                known.append(plan_id)
                rows.append(row)
        yield known, np.array(rows, dtype="float64").reshape(-1, len(FEATURE_NAMES))


def drift_of(baseline: Baseline, features: Iterable[np.ndarray], answers: Answers, labels: np.ndarray) -> Drift:
    """The drift of a week.

    Args:
        baseline: of the served version.
        features: blocks of shape (n, 26): one row per plan, in the order of FEATURE_NAMES.
        answers: what this version said in the week.
        labels: what people said in the week, as classes of the dataset.
    """
    plans, came = _counted(baseline, features)
    labelled = np.bincount(labels.astype("int64"), minlength=len(CLASS_NAMES))
    values = {CONFIDENCE: answers.confidence, RISK: answers.risk}
    said = {name: bins.count(values[name]) for name, bins in baseline.answers.items()}
    of_features = shifts(baseline.features, came, baseline.important)
    of_answers = shifts(baseline.answers, said)
    of_labels = shifts({"labels": baseline.labels}, {"labels": labelled})
    return Drift(
        learned=baseline.rows,
        plans=plans,
        answers=len(answers),
        labels=len(labels),
        important=baseline.important,
        of_features=of_features if plans >= FEWEST else [],
        of_answers=of_answers if len(answers) >= FEWEST else [],
        of_labels=of_labels if len(labels) >= FEWEST else [],
    )


def _counted(baseline: Baseline, features: Iterable[np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
    """The number of plans, and how many values of each feature fall into each bin."""
    plans, counts = 0, {name: bins.count(np.empty(0)) for name, bins in baseline.features.items()}
    for block in features:
        plans += len(block)
        for name, bins in baseline.features.items():
            counts[name] += bins.count(block[:, FEATURE_NAMES.index(name)])
    return plans, counts
