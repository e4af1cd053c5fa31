"""How often the bars of drift raise a false alarm, and what they find (`make bench-drift`).

Plans are those of the demo with all their correlations. A version learns 1,000 of them; then come weeks of 50, 200 and
1,000 plans, without drift, and with one of the five most important features shifted by half a standard deviation. The
bars are the product's own. Exits with 1 if a target is missed.
"""

import random
import sys
from datetime import UTC, datetime
from typing import Final

import numpy as np

from benchmarks.measuring import Figure, print_table
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.drift.bins import Bins
from nhm_assets.drift.estimate import estimate
from nhm_assets.drift.psi import FALSE_ALARMS, IMPORTANT
from nhm_assets.drift.shifts import shifts
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict

SEED: Final = 20260104
SIZES: Final = (50, 200, 1000)
VERSIONS, WEEKS = 40, 10
LEARNED: Final = 1000
PLANS: Final = 20_000
SHIFT: Final = 0.5
FOUND: Final = 0.95


def population() -> tuple[np.ndarray, np.ndarray]:
    """Features of many plans, with embeddings, and whether people would approve each."""
    draw, rng = np.random.default_rng(SEED), random.Random(SEED)  # noqa: S311 - reproducible, not secret
    created = datetime(2026, 1, 4, tzinfo=UTC)
    plans = [compute_features(sample_plan(rng, f"plan-{number}", created)) for number in range(PLANS)]
    approved = [sample_verdict(rng, plan, disagreement=0.08)[0] == "approve" for plan in plans]
    embeddings = np.stack([draw.normal(4, 0.3, PLANS), draw.normal(0.2, 0.05, PLANS), draw.normal(3.5, 0.2, PLANS)], 1)
    missing = dict.fromkeys(FEATURE_NAMES, np.nan)
    rows = np.array([list((missing | plan).values()) for plan in plans])
    rows[:, -embeddings.shape[1] :] = embeddings
    return rows, np.array(approved)


def most_important(rows: np.ndarray, approved: np.ndarray) -> list[str]:
    """The features by which a forest tells what people approve."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(100, max_depth=10, random_state=42).fit(rows[:LEARNED], approved[:LEARNED])
    ranked = np.argsort(forest.feature_importances_)[::-1]
    return [FEATURE_NAMES[column] for column in ranked[:IMPORTANT]]


def simulate(rows: np.ndarray, important: list[str], size: int) -> tuple[float, dict[str, float]]:
    """Share of weeks with a false alarm, and the share of shifted weeks in which each shifted feature is found."""
    draw = np.random.default_rng([SEED, size])
    half = SHIFT * rows.std(axis=0)
    alarms, found = 0, dict.fromkeys(important, 0)
    for _ in range(VERSIONS):
        learned = rows[draw.integers(len(rows), size=LEARNED)]
        bins = {name: Bins.of(learned[:, column]) for column, name in enumerate(FEATURE_NAMES)}
        for _ in range(WEEKS):
            week = rows[draw.integers(len(rows), size=size)]
            counts = {name: bins[name].count(week[:, column]) for column, name in enumerate(FEATURE_NAMES)}
            alarms += any(shift.band != "none" for shift in shifts(bins, counts, important))
            for name in important:
                column = FEATURE_NAMES.index(name)
                moved = counts | {name: bins[name].count(week[:, column] + half[column])}
                shifted = {shift.name: shift.band for shift in shifts(bins, moved, important)}
                found[name] += shifted[name] != "none"
    weeks = VERSIONS * WEEKS
    return alarms / weeks, {name: count / weeks for name, count in found.items()}


def estimate_error(plans: int = 300, weeks: int = 2000) -> float:
    """Mean absolute error of F1 estimated before any review, with calibrated confidences."""
    draw = np.random.default_rng(SEED)
    errors = []
    for _ in range(weeks):
        confidence = draw.beta(0.8, 0.8, plans)
        calls, approved = confidence > 0.45, draw.random(plans) < confidence
        realized = 2 * (calls & approved).sum() / (calls.sum() + approved.sum())
        errors.append(abs(realized - (estimate(confidence, calls).f1 or 0.0)))
    return float(np.mean(errors))


def main() -> int:
    rows, approved = population()
    important = most_important(rows, approved)
    figures = []
    for size in SIZES:
        alarms, found = simulate(rows, important, size)
        name = f"{size} plans: weeks without drift in which a feature raises an alarm"
        figures.append(Figure(name, f"{alarms:.1%}", f"at most {FALSE_ALARMS:.0%}", alarms <= FALSE_ALARMS))
        for feature, share in found.items():
            target = (f"at least {FOUND:.0%}", share >= FOUND) if size >= 200 else ("", None)
            name = f"{size} plans: {feature} shifted by half a standard deviation is found"
            figures.append(Figure(name, f"{share:.1%}", *target))
    error = estimate_error()
    name = "300 plans: mean error of F1 estimated before any review"
    figures.append(Figure(name, f"{error:.4f}", "below 0.03", error < 0.03))
    print_table("Drift and estimates", figures)
    return int(any(figure.reached is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
