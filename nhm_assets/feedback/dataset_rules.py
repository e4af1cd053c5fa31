"""The rules that a dataset must meet before a model is trained on it."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import (
    APPROVAL,
    FEATURE_NAMES,
    REAL,
    REVIEWER,
    SCRIPTED,
    SPLITS,
    TEST,
    schema_faults,
)
from nhm_assets.domain.evidence import EVIDENCE_CHECKS, judge_evidence, stored_share
from nhm_assets.domain.outcomes import DATASET_CHECKS
from nhm_assets.domain.segments import timed_rows
from nhm_assets.feedback.splits import split_by_time

MAX_SCRIPTED_FRACTION = 0.5
"""Of the feedback in the window."""
MAX_MOVED_FRACTION = 0.10
"""Of the rows."""
MIN_STORED_SHARE = 0.5
"""Of the rows to learn from. In service, every plan has features that the specialist stored."""

DESCRIPTIONS = {
    "schema_conforms": "Columns, types, classes and row order match the contract, and computed features are finite.",
    **EVIDENCE_CHECKS,
    "no_leakage": "No plan is in two splits, and no feature equals the label.",
    "human_feedback": f"People gave the feedback: scripts made at most {MAX_SCRIPTED_FRACTION:.0%} of it and none of"
    " the rows, and the labels cannot be told from the opinions' own scores.",
    "split_shares": f"Plans that rows share move at most {MAX_MOVED_FRACTION:.0%} of the rows to another split.",
    "features_as_served": f"Specialists stored the features of at least {MIN_STORED_SHARE:.0%} of the rows to learn"
    " from. The others have computed features without embeddings, and in service every plan has embeddings.",
    "feedback_fresh": "The newest feedback is at most MAX_FEEDBACK_AGE_DAYS older than the end of the window.",
    "few_rejected_documents": "At most MAX_REJECTED_FRACTION of the feedback was rejected. The reasons are listed.",
}
TOLD_FRACTION = 0.95
"""Of labels told from the opinions' own scores. People differ from each other more often than that."""
BLOCKING = DATASET_CHECKS


@dataclass(frozen=True)
class QualityRules:
    """The limits that these checks apply."""

    min_real_samples: int
    max_feedback_age_days: int
    max_rejected_fraction: float


def judge_dataset(frame: pd.DataFrame, rules: QualityRules) -> list[Verdict]:
    """One verdict per check. If the schema does not match, nothing else is judged, and every check fails."""
    if faults := schema_faults(frame):
        reasons = dict.fromkeys(DESCRIPTIONS, "Not judged, because the rows do not match the schema.")
        reasons["schema_conforms"] = f"The rows do not match the schema: {'; '.join(faults)}."
        return [Verdict(check, passed=False, reason=reason) for check, reason in reasons.items()]
    return [
        Verdict("schema_conforms", passed=True, reason="The rows match the schema."),
        *judge_evidence(frame, min_samples=rules.min_real_samples),
        _no_leakage(frame),
        _human_feedback(frame),
        _split_shares(frame),
        _features_as_served(frame),
        _feedback_fresh(frame, rules.max_feedback_age_days),
        _few_rejected(frame, rules.max_rejected_fraction),
    ]


def _no_leakage(frame: pd.DataFrame) -> Verdict:
    splits = frame.groupby("plan_id")["split"].nunique()
    shared = sorted(splits.index[splits > 1])
    leaking = [name for name in FEATURE_NAMES if frame["label"].nunique() > 1 and (frame[name] == frame["label"]).all()]
    reason = "No leakage: no plan is in two splits, and no feature equals the label."
    if shared:
        reason = f"Leakage: {len(shared)} plans are in two splits, for example {shared[0]}."
    elif leaking:
        reason = f"Leakage: the feature {leaking[0]} equals the label in every row."
    figures = {"shared_plans": len(shared), "leaking_features": leaking}
    return Verdict("no_leakage", not shared and not leaking, reason, figures)


def _human_feedback(frame: pd.DataFrame) -> Verdict:
    scripted, told = frame.attrs["scripted"], frame.attrs["told_by_scores"]
    by = frame["provenance"].value_counts()
    learned, human = int(by.get(SCRIPTED, 0)), int(by.get(REVIEWER, 0) + by.get(APPROVAL, 0))
    fraction = scripted / max(1, scripted + human)
    faults = []
    if learned:
        faults.append(f"{learned} rows were made by scripts (INCLUDE_SCRIPTED_FEEDBACK)")
    if fraction > MAX_SCRIPTED_FRACTION:
        faults.append(f"scripts made {fraction:.1%} of it, allowed {MAX_SCRIPTED_FRACTION:.0%}")
    if told is not None and told >= TOLD_FRACTION:
        faults.append(f"the opinions' own scores tell {told:.1%} of the labels, suspicious from {TOLD_FRACTION:.0%}")
    counted = f"{human} rows by people, {scripted} documents by scripts."
    reason = f"People gave the feedback: {counted}"
    if faults:
        reason = f"The feedback is not only people's: {', and '.join(faults)}. {counted}"
    figures = {"scripted": scripted, "scripted_rows": learned, "human_rows": human, "fraction": fraction}
    return Verdict("human_feedback", not faults, reason, {**figures, "told_by_scores": told}, warns_only=True)


def _split_shares(frame: pd.DataFrame) -> Verdict:
    rows = timed_rows(frame)
    size = max(1, len(rows))
    shares = {split: float((rows["split"] == split).sum() / size) for split in SPLITS}
    by_time = {split: float((split_by_time(len(rows)) == split).sum() / size) for split in SPLITS}
    moved = sum(max(0.0, shares[split] - by_time[split]) for split in SPLITS)
    plans = rows["plan_id"].value_counts()
    passed = moved <= MAX_MOVED_FRACTION
    described = ", ".join(f"{split} {share:.0%}" for split, share in shares.items())
    reason = f"The split is as intended: {described}."
    if not passed:
        reason = (
            f"The split is distorted: {described}, by time alone test would be {by_time[TEST]:.0%}. All rows of a plan"
            f" are in one split, and plan {plans.index[0]} alone has {plans.iloc[0]} of {len(rows)} rows. Is it a"
            " placeholder? Give each plan an id of its own."
        )
    figures = {**shares, "moved": moved, "largest_plan_rows": int(plans.max()) if len(plans) else 0}
    return Verdict("split_shares", passed, reason, figures, warns_only=True)


def _features_as_served(frame: pd.DataFrame) -> Verdict:
    share = stored_share(frame)
    passed = share is None or share >= MIN_STORED_SHARE
    found = "there are none" if share is None else f"specialists stored the features of {share:.1%}"
    reason = f"Of the rows to learn from, {found}; at least {MIN_STORED_SHARE:.0%} are required."
    reason = f"{'Features are as in service' if passed else 'Most features are computed'}. {reason}"
    if not passed:
        reason += (
            " Computed features have no embeddings, so the model mostly learns a case that it is never asked about."
            " Look at whether the specialists store their features in FEATURES_COLLECTION."
        )
    figures = {"stored_share": share} if share is not None else {}
    return Verdict("features_as_served", passed, reason, figures, warns_only=True)


def _feedback_fresh(frame: pd.DataFrame, max_days: int) -> Verdict:
    end = datetime.fromisoformat(frame.attrs["window"][1])
    real = frame.loc[frame["source"] == REAL, "submitted_at"]
    if real.empty:
        return Verdict("feedback_fresh", passed=False, reason="There is no feedback in the window.", warns_only=True)
    days = (end - real.max().to_pydatetime()).total_seconds() / 86_400
    passed = days <= max_days
    return Verdict(
        "feedback_fresh",
        passed,
        f"Feedback is {'fresh' if passed else 'stale'}: the newest is {days:.1f} days older than the end of the window;"
        f" at most {max_days} are allowed.",
        {"days": days, "MAX_FEEDBACK_AGE_DAYS": max_days},
        warns_only=True,
    )


def _few_rejected(frame: pd.DataFrame, max_fraction: float) -> Verdict:
    reasons: dict[str, int] = frame.attrs["quarantined"]
    rejected = sum(reasons.values())
    fraction = rejected / max(1, rejected + frame.attrs["real_rows"])
    passed = fraction <= max_fraction
    return Verdict(
        "few_rejected_documents",
        passed,
        f"{'Few' if passed else 'Too many'} documents were rejected: {rejected}, which is {fraction:.1%} of those read;"
        f" at most {max_fraction:.1%} are allowed.",
        {**reasons, "fraction": fraction, "MAX_REJECTED_FRACTION": max_fraction},
        warns_only=True,
    )
