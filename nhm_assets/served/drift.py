"""How far the plans, answers and labels of a week have moved from what the served version learned."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.drift_records import Drift
from nhm_assets.drift.baseline import CONFIDENCE, RISK, Baseline
from nhm_assets.drift.bins import Bins
from nhm_assets.drift.shifts import shifts
from nhm_assets.evaluation.served_plans import feature_values
from nhm_assets.feedback.mongo_batches import id_batches
from nhm_assets.served.origins import Opinion

if TYPE_CHECKING:
    from pymongo.collection import Collection

FEWEST: Final = 20
"""Plans, answers or labels without which nothing is compared."""


def read_features(collection: "Collection[dict[str, Any]]", plan_ids: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """The stored features of these plans: the ids of those that have them, and one row for each, shape (n, 26).

    Features that the platform computed are left out, and so are plans without usable ones. Null is NaN.
    """
    fields = {"_id": 0, "plan_id": 1, "features": 1}
    known, blocks = [], []
    for ids in id_batches(sorted(set(filter(None, plan_ids)))):
        query = {"plan_id": {"$in": ids}, "extractor": {"$exists": False}}
        rows = []
        for document in collection.find(query, fields):
            row = feature_values(document.get("features"))
            if row is not None:
                known.append(document["plan_id"])
                rows.append(row)
        blocks.append(np.array(rows, dtype="float64").reshape(-1, len(FEATURE_NAMES)))
    return known, np.concatenate(blocks) if blocks else np.empty((0, len(FEATURE_NAMES)))


def drift_of(baseline: Baseline, features: np.ndarray, answers: Sequence[Opinion], labels: Sequence[int]) -> Drift:
    """The drift of a week.

    Args:
        baseline: of the served version.
        features: shape (n, 26): one row per plan, in the order of FEATURE_NAMES.
        answers: opinions that this version gave in the week.
        labels: what people said in the week, as classes of the dataset.
    """
    values = {name: features[:, column] for column, name in enumerate(FEATURE_NAMES)}
    said = {
        CONFIDENCE: np.array([one.confidence for one in answers], dtype="float64"),
        RISK: np.array([one.risk for one in answers], dtype="float64"),
    }
    labelled = np.bincount(np.array(labels, dtype="int64"), minlength=len(CLASS_NAMES))
    of_features = shifts(baseline.features, _counts(baseline.features, values), baseline.important)
    of_answers = shifts(baseline.answers, _counts(baseline.answers, said))
    of_labels = shifts({"labels": baseline.labels}, {"labels": labelled})
    return Drift(
        learned=baseline.rows,
        plans=len(features),
        answers=len(answers),
        labels=len(labels),
        important=baseline.important,
        of_features=of_features if len(features) >= FEWEST else [],
        of_answers=of_answers if len(answers) >= FEWEST else [],
        of_labels=of_labels if len(labels) >= FEWEST else [],
    )


def _counts(learned: dict[str, Bins], values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: bins.count(values[name]) for name, bins in learned.items()}
