"""Synthetic rows, for partitions with too little feedback.

Plans are drawn at random and their features computed as usual. The label follows a simple rule: the riskier and the
more complex the plan, the less likely an approval. Such rows are marked, and a model that was tested only on them
never reaches Production where that is forbidden.
"""

import hashlib
import random
from datetime import UTC, datetime, timedelta

import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, NO_FEEDBACK, SYNTHETIC, TRAIN
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict

_DISAGREEMENT = 0.08
"""How often the label is random instead, as with real reviewers."""


def synthetic_rows(partition: Partition, window: Window, count: int) -> pd.DataFrame:
    """Rows with the dataset's columns, spread evenly over the whole days of the window.

    The same partition and days give the same rows: the end of the running week's window moves all the time, and
    rows that moved with it would make a new model of the same feedback.

    Their `split` is train. If there are no real rows at all, the caller splits them by time.
    """
    seed = hashlib.blake2b(str(partition.key).encode(), digest_size=8).digest()
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    rows = []
    for number, submitted_at in enumerate(even_times(window, count), 1):
        name = f"synthetic-{partition.specialist}-{partition.week}-{number:05d}"
        features = compute_features(sample_plan(rng, name, submitted_at))
        label, rating = sample_verdict(rng, features, disagreement=_DISAGREEMENT)
        rows.append(
            {
                "feedback_id": name,
                "opinion_id": name,
                "plan_id": name,
                "submitted_at": submitted_at,
                "human_rating": rating,
                "label": CLASS_NAMES.index(label),
                "source": SYNTHETIC,
                "provenance": NO_FEEDBACK,
                "split": TRAIN,
                **features,
            }
        )
    return pd.DataFrame(rows)


def even_times(window: Window, count: int) -> list[datetime]:
    """So many times, spread evenly over the whole days of the window."""
    days = _whole_days(window)
    step = (days.end - days.start) / (count + 1)
    return [days.start + step * number for number in range(1, count + 1)]


def _whole_days(window: Window) -> Window:
    """The whole days inside the window; whole hours if it is too short to be sure of a day."""
    unit = timedelta(days=1) if window.end - window.start >= timedelta(days=2) else timedelta(hours=1)
    epoch = datetime.fromtimestamp(0, UTC)
    # Negated twice, because `//` rounds down.
    first, last = -((epoch - window.start) // unit), (window.end - epoch) // unit
    return Window(epoch + first * unit, epoch + last * unit)
