"""What a dataset must be before anything learns from it."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import (
    APPROVE,
    CLASS_NAMES,
    FEATURE_NAMES,
    REAL,
    TEST,
    counts,
    schema_faults,
)

DESCRIPTIONS = {
    "schema_conforms": "Columns, types, classes and order are those of the contract; computed features are finite.",
    "enough_samples": "There are at least MIN_REAL_SAMPLES rows, synthetic ones included where they are allowed.",
    "class_coverage": "The rows to learn from hold approve and at least one other class.",
    "no_leakage": "No plan is both learned from and tested on, and no column beside the features is learned.",
    "feedback_fresh": "The newest feedback is at most MAX_FEEDBACK_AGE_DAYS older than the window's end.",
    "few_rejected_documents": "At most MAX_REJECTED_FRACTION of the feedback was rejected; the reasons are listed.",
}
BLOCKING = ("schema_conforms", "enough_samples", "class_coverage", "no_leakage")


@dataclass(frozen=True)
class QualityRules:
    """The settings that these checks judge by."""

    min_real_samples: int
    max_feedback_age_days: int
    max_rejected_fraction: float


def judge_dataset(frame: pd.DataFrame, rules: QualityRules) -> list[Verdict]:
    """One verdict a check; a frame without the dataset's columns is judged by its schema alone."""
    faults = schema_faults(frame)
    schema = Verdict("schema_conforms", not faults, "; ".join(faults) or "the rows conform")
    if faults:
        rest = [name for name in DESCRIPTIONS if name != schema.check]
        return [
            schema,
            *(Verdict(name, passed=False, reason="not judged: the rows do not conform") for name in rest),
        ]
    return [
        schema,
        _enough_samples(frame, rules.min_real_samples),
        _class_coverage(frame),
        _no_leakage(frame),
        _feedback_fresh(frame, rules.max_feedback_age_days),
        _few_rejected(frame, rules.max_rejected_fraction),
    ]


def _enough_samples(frame: pd.DataFrame, wanted: int) -> Verdict:
    figures = {"rows": len(frame), "MIN_REAL_SAMPLES": wanted}
    reason = f"{len(frame)} rows, wanted are {wanted}"
    if len(frame) < wanted:
        reason += (
            f" (window {' to '.join(frame.attrs['window'])}): wait for more feedback, widen FEEDBACK_WINDOW_DAYS,"
            " or lower MIN_REAL_SAMPLES; synthetic rows are not allowed here (ALLOW_SYNTHETIC_FALLBACK)"
        )
    return Verdict("enough_samples", len(frame) >= wanted, reason, figures)


def _class_coverage(frame: pd.DataFrame) -> Verdict:
    learned = frame.loc[frame["split"] != TEST, "label"]
    found = {CLASS_NAMES[int(label)]: count for label, count in counts(learned).items()}
    passed = APPROVE in set(learned) and learned.nunique() > 1
    reason = f"rows to learn from, by class: {found or 'none'}"
    if not passed:
        reason += "; approve and one other class are needed, or there is nothing to tell apart"
    return Verdict("class_coverage", passed, reason, found)


def _no_leakage(frame: pd.DataFrame) -> Verdict:
    splits = frame.groupby("plan_id")["split"].nunique()
    shared = sorted(splits.index[splits > 1])
    leaking = [name for name in FEATURE_NAMES if frame["label"].nunique() > 1 and (frame[name] == frame["label"]).all()]
    passed = not shared and not leaking
    reason = "no plan is in two splits, and no feature is the label"
    if shared:
        reason = f"{len(shared)} plans are in two splits, e.g. {shared[0]}"
    elif leaking:
        reason = f"feature {leaking[0]} equals the label in every row"
    return Verdict("no_leakage", passed, reason, {"shared_plans": len(shared), "leaking_features": leaking})


def _feedback_fresh(frame: pd.DataFrame, most_days: int) -> Verdict:
    end = datetime.fromisoformat(frame.attrs["window"][1])
    real = frame.loc[frame["source"] == REAL, "submitted_at"]
    if real.empty:
        return Verdict("feedback_fresh", passed=False, reason="there is no feedback", warns_only=True)
    days = (end - real.max().to_pydatetime()).total_seconds() / 86_400
    return Verdict(
        "feedback_fresh",
        days <= most_days,
        f"the newest feedback is {days:.1f} days older than the window's end, allowed are {most_days}",
        {"days": days, "MAX_FEEDBACK_AGE_DAYS": most_days},
        warns_only=True,
    )


def _few_rejected(frame: pd.DataFrame, most: float) -> Verdict:
    reasons: dict[str, int] = frame.attrs["quarantined"]
    rejected = sum(reasons.values())
    share = rejected / max(1, rejected + frame.attrs["real_rows"])
    return Verdict(
        "few_rejected_documents",
        share <= most,
        f"{rejected} documents rejected, {share:.1%} of those read; allowed are {most:.1%}",
        {**reasons, "share": share, "MAX_REJECTED_FRACTION": most},
        warns_only=True,
    )
