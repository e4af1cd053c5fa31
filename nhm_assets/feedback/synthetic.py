"""Synthetic rows, for where reviewers have not said enough yet.

Plans are drawn at random, their features computed as ever, and the label follows a simple rule of thumb:
the riskier and the more complex, the less likely an approval. Such rows teach a model to start with; they
are marked, and a model that was tested on them alone never reaches Production where that is forbidden.
"""

import hashlib
import random

import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, SYNTHETIC, TRAIN
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict

_DISAGREEMENT = 0.08
"""How often the rule of thumb is broken, as reviewers do."""


def synthetic_rows(partition: Partition, window: Window, count: int) -> pd.DataFrame:
    """Rows of the dataset's columns, spread over the window; the same partition gives the same rows.

    Their `split` is train; where there is no real row at all, the caller splits them by time.
    """
    seed = hashlib.blake2b(str(partition.key).encode(), digest_size=8).digest()
    draw = random.Random(seed)  # noqa: S311 - reproducible, and nothing to keep secret
    step = (window.end - window.start) / (count + 1)
    rows = []
    for number in range(1, count + 1):
        name = f"synthetic-{partition.specialist}-{partition.week}-{number:05d}"
        submitted_at = window.start + step * number
        features = compute_features(sample_plan(draw, name, submitted_at))
        label, rating = sample_verdict(draw, features, disagreement=_DISAGREEMENT)
        rows.append(
            {
                "feedback_id": name,
                "opinion_id": name,
                "plan_id": name,
                "submitted_at": submitted_at,
                "human_rating": rating,
                "label": CLASS_NAMES.index(label),
                "source": SYNTHETIC,
                "split": TRAIN,
                **features,
            }
        )
    return pd.DataFrame(rows)
