"""Whether a dataset is enough to learn from: the evidence checks, which the dataset shows and the training obeys.

Where one fails, the run ends green with the outcome `insufficient_data`, and nothing is trained.
"""

from typing import Final

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, EMBEDDING_FEATURES, LLM, TEST, counts

EVIDENCE_CHECKS: Final = {
    "enough_samples": "Evidence: there are at least MIN_REAL_SAMPLES rows. Synthetic rows count where they are allowed."
    " If it fails, nothing is trained (outcome insufficient_data).",
    "class_coverage": "Evidence: the training and validation rows contain approve and at least one other class. If it"
    " fails, nothing is trained (outcome insufficient_data).",
}


def judge_evidence(frame: pd.DataFrame, *, min_samples: int) -> list[Verdict]:
    """One verdict per evidence check, on rows that match the schema."""
    return [_enough_samples(frame, min_samples), _class_coverage(frame)]


def _enough_samples(frame: pd.DataFrame, required: int) -> Verdict:
    # Rows of a language model are an addition to real ones, never instead of them.
    size = int((frame["source"] != LLM).sum())
    missing = max(0, required - size)
    reason = f"Enough samples: {size} rows; at least {required} are required."
    if missing:
        reason = (
            f"Too few samples: {size} rows, {missing} fewer than the required {required}"
            f" (window {' to '.join(frame.attrs['window'])}). Wait for more feedback, widen FEEDBACK_WINDOW_DAYS, or"
            " lower MIN_REAL_SAMPLES. Synthetic rows are not allowed here (ALLOW_SYNTHETIC_FALLBACK)."
        )
        if scripted := frame.attrs["scripted"]:
            reason += f" {scripted} documents that scripts made do not count (INCLUDE_SCRIPTED_FEEDBACK)."
    figures = {"rows": size, "missing": missing, "MIN_REAL_SAMPLES": required}
    return Verdict("enough_samples", not missing, reason, figures)


def _class_coverage(frame: pd.DataFrame) -> Verdict:
    labels = frame.loc[frame["split"] != TEST, "label"]
    by_class = {CLASS_NAMES[int(label)]: count for label, count in counts(labels).items()}
    present = ", ".join(f"{count} {name}" for name, count in by_class.items()) or "no rows"
    passed = APPROVE in set(labels) and labels.nunique() > 1
    reason = f"Enough classes to learn from: {present}."
    if not passed:
        reason = f"Too few classes to learn from: {present}. Approve and at least one other class are required."
    return Verdict("class_coverage", passed, reason, by_class)


def stored_share(frame: pd.DataFrame) -> float | None:
    """The share of the rows to learn from whose features a specialist stored; None without such rows.

    Those have embeddings, and features that were computed from the plan have none.
    """
    embeddings = frame.loc[frame["split"] != TEST, list(EMBEDDING_FEATURES)].notna().any(axis=1)
    return float(embeddings.mean()) if len(embeddings) else None
