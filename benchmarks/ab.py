"""How often an A/B test finds a difference that is there, and one that is not (`make bench-ab`).

Two versions answer the same plans, and people review some every day; after each day somebody looks, and stops at the
first difference. Both confidences go with what people say as two normal variables do that are correlated within each
kind of plan. The intervals are the product's own. Exits with 1 if a target is missed.
"""

import sys
from typing import Final

import numpy as np
from scipy.stats import norm

from benchmarks.measuring import Figure, print_table
from nhm_assets.domain.ab_records import Difference
from nhm_assets.served.ab_interval import ALPHA, apart, paired

SEED: Final = 20260104
TESTS: Final = 500
AUC: Final = 0.80
BETTER: Final = 0.05
APPROVED: Final = 0.45
DAYS: Final = 40
PER_DAY: Final = 50
FIRST: Final = 100
"""Reviewed plans at the first look, in a live test of each version: the default of `--min-samples`."""
FOUND: Final = 0.8
CORRELATIONS: Final = (0.95, 0.8, 0.5)
LIKELY: Final = 0.8

Both = tuple[Difference | None, Difference | None]


def answers(
    draw: np.random.Generator, plans: int, *, correlation: float, better: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence of champion and challenger, and whether people approve, of many plans."""
    approved = draw.random(plans) < APPROVED
    common, own = draw.normal(size=plans), draw.normal(size=(2, plans))
    found = []
    for auc, noise in zip((AUC, AUC + better), own, strict=True):
        distance = np.sqrt(2) * norm.ppf(auc)
        latent = distance * approved + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * noise
        # The true probability of approval, given this latent value.
        odds = APPROVED / (1 - APPROVED) * np.exp(distance * latent - distance**2 / 2)
        found.append(odds / (1 + odds))
    return found[0], found[1], approved


def ends(looks: "list[Both]") -> int | None:
    """The first look that shows a difference; None if none does."""
    shown = (number for number, both in enumerate(looks) if any(one is not None and one.sign for one in both))
    return next(shown, None)


def looks_at(draw: np.random.Generator, *, correlation: float, better: float, split: float | None) -> "list[Both]":
    """What every look at one test shows. Without a split, both versions answer every plan."""
    champion, challenger, approved = answers(draw, DAYS * PER_DAY, correlation=correlation, better=better)
    to_champion = draw.random(len(approved)) < (split or 0)
    looks = []
    for plans in range(FIRST, len(approved) + 1, PER_DAY):
        a, b, said, first = champion[:plans], challenger[:plans], approved[:plans], to_champion[:plans]
        if split is None:
            looks.append(paired(a, b, said))
        else:
            few = min(first.sum(), (~first).sum()) < FIRST
            looks.append((None, None) if few else apart(a[first], said[first], b[~first], said[~first]))
    return looks


def simulate(*, correlation: float, better: float = 0.0, split: float | None = None) -> list[int | None]:
    """The reviewed plans after which each test ended with a difference; None if it did not."""
    draw = np.random.default_rng([SEED, round(100 * correlation), round(100 * better), round(100 * (split or 0))])
    found = [ends(looks_at(draw, correlation=correlation, better=better, split=split)) for _ in range(TESTS)]
    return [None if look is None else FIRST + look * PER_DAY for look in found]


def figures() -> list[Figure]:
    """Every simulation."""
    rows = []
    days = f"{TESTS} tests of equal versions, {DAYS} daily looks"
    for name, options in (
        *((f"replay, correlation {one:g}", {"correlation": one}) for one in CORRELATIONS),
        *((f"live, split {one:g}", {"correlation": 0.8, "split": one}) for one in (0.5, 0.9)),
    ):
        share = float(np.mean([one is not None for one in simulate(**options)]))
        title = f"{days}, {name}: end with a difference"
        rows.append(Figure(title, f"{share:.1%}", f"at most {ALPHA:.0%}", share <= ALPHA))
    for correlation in CORRELATIONS:
        stopped = simulate(correlation=correlation, better=BETTER)
        share = float(np.mean([one is not None and one <= 1000 for one in stopped]))
        name = f"replay, correlation {correlation:g}: {BETTER:g} of AUC found within 1,000 reviewed plans"
        # Versions of the same recipe correlate by more than 0.9; those of the lowest are hardly the same kind of model.
        target = (f"at least {FOUND:.0%}", share >= FOUND) if correlation >= LIKELY else ("", None)
        rows.append(Figure(name, f"{share:.1%}", *target))
        usual = np.median([one if one is not None else np.inf for one in stopped])
        rows.append(Figure("  reviewed plans in half of these tests", f"{usual:.0f}"))
    stopped = simulate(correlation=0.8, better=BETTER, split=0.5)
    share = np.mean([one is not None and one <= 1000 for one in stopped])
    rows.append(Figure(f"live, split 0.5: {BETTER:g} of AUC found within 1,000 reviewed plans", f"{share:.1%}"))
    return rows


def main() -> int:
    found = figures()
    print_table("A/B tests", found)
    return int(any(figure.reached is False for figure in found))


if __name__ == "__main__":
    sys.exit(main())
