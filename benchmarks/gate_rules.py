"""Gates to compare: each decides for all histories at once. The product's own `judge` is asked in `gate_judge.py`."""

from collections import deque
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
from scipy.special import betaincc, ndtri
from scipy.stats import binom

from benchmarks.gate_evidence import CANDIDATE, LABEL, RIVAL, Counts, Evidence, difference
from nhm_assets.evaluation.gate import GateRules
from nhm_assets.settings import Settings

_SETTINGS = {name: field.default for name, field in Settings.model_fields.items()}
RULES = GateRules(
    **{field.name: _SETTINGS[field.name] for field in fields(GateRules) if field.name in _SETTINGS}, in_production=False
)
"""The default settings."""
FIRST_RULES = replace(RULES, gate_folds=0, reference_weeks=0)
"""The first gate: point estimates on the test rows."""
_ROUNDING = 1e-12


class FirstGate:
    """Point estimates on the test rows reach the thresholds, and F1 is at most a little below the champion's."""

    def __init__(self, rules: GateRules = FIRST_RULES, *, more: float = 0.0) -> None:
        self.rules = rules
        self._more = more

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Which candidates are promoted; (histories,)."""
        return self.reaches(evidence.test, self._more) & self.is_not_worse(evidence.test)

    def reaches(self, cells: np.ndarray, more: float = 0.0) -> np.ndarray:
        """Whether the candidate's point estimates reach the thresholds, or `more` than these."""
        counts, rules = Counts.of(cells, CANDIDATE), self.rules
        enough = (counts.precision >= rules.precision_threshold + more) & (
            counts.recall >= rules.recall_threshold + more
        )
        return enough & (counts.f1 >= rules.f1_threshold + more)

    def is_not_worse(self, cells: np.ndarray) -> np.ndarray:
        """Whether the candidate's F1 is at most MAX_F1_REGRESSION below the champion's."""
        champion_f1 = Counts.of(cells, RIVAL).f1
        return Counts.of(cells, CANDIDATE).f1 >= champion_f1 - self.rules.max_f1_regression

    def probability(self, cells: np.ndarray) -> np.ndarray:
        """The smaller one of the probabilities that precision and recall are above their thresholds (Jeffreys)."""
        counts, rules = Counts.of(cells, CANDIDATE), self.rules
        precision = betaincc(counts.tp + 0.5, counts.fp + 0.5, rules.precision_threshold)
        return np.minimum(precision, betaincc(counts.tp + 0.5, counts.fn + 0.5, rules.recall_threshold))


class FoldGate(FirstGate):
    """The rules of the product: the first gate's, and those on the folds and against the reference."""

    def __init__(self, rules: GateRules = RULES) -> None:
        super().__init__(rules)

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Which candidates are promoted; (histories,)."""
        return super().__call__(evidence) & self._sure(evidence) & self._fair(evidence) & self._not_sliding(evidence)

    def _sure(self, evidence: Evidence) -> np.ndarray:
        enough = Counts.of(evidence.pooled, CANDIDATE).f1 >= self.rules.f1_threshold
        return enough & (self.probability(evidence.pooled) >= self.rules.gate_confidence)

    def _fair(self, evidence: Evidence) -> np.ndarray:
        few = evidence.fair.sum(axis=1) < self.rules.min_test_rows
        found, error = difference(np.where(few[:, None], evidence.test, evidence.fair))
        z = 0.0 if evidence.week_is_over else ndtri(self.rules.gate_midweek_confidence)
        return found - z * error >= -self.rules.max_f1_regression - _ROUNDING

    def _not_sliding(self, evidence: Evidence) -> np.ndarray:
        found, _ = difference(evidence.reference_fair)
        allowed = found >= -self.rules.max_f1_regression_to_reference - _ROUNDING
        return allowed | evidence.champion_is_reference | (self.rules.reference_weeks == 0)


class WilsonGate(FirstGate):
    """The first gate, but the lower bounds of precision and recall reach the thresholds (Wilson 1927, one-sided)."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self._z = ndtri(confidence)

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Which candidates are promoted; (histories,)."""
        counts, rules = Counts.of(evidence.test, CANDIDATE), self.rules
        precision = self._bound(counts.tp, counts.fp) >= rules.precision_threshold
        return precision & (self._bound(counts.tp, counts.fn) >= rules.recall_threshold) & super().__call__(evidence)

    def _bound(self, hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
        total, z = np.maximum(hits + misses, 1), self._z
        rate = hits / total
        spread = z * np.sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2)
        return (rate + z**2 / (2 * total) - spread) / (1 + z**2 / total)


class PairedGate(FirstGate):
    """The first gate, but the lower bound of the difference to the champion is within the allowed regression."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self._z = ndtri(confidence)

    def is_not_worse(self, cells: np.ndarray) -> np.ndarray:
        """Whether it is so with that confidence."""
        found, error = difference(cells)
        return found - self._z * error >= -self.rules.max_f1_regression


class McNemarGate(FirstGate):
    """The first gate, but a candidate is worse than the champion only if McNemar's exact test says so (one-sided)."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self._level = level

    def is_not_worse(self, cells: np.ndarray) -> np.ndarray:
        """Whether the rows that only the champion gets right are not significantly more."""
        right = CANDIDATE == LABEL, RIVAL == LABEL
        only_candidate, only_champion = (cells[..., one & ~other].sum(axis=-1) for one, other in (right, right[::-1]))
        return binom.cdf(only_candidate, only_candidate + only_champion, 0.5) >= self._level


class PooledWeeksGate(FirstGate):
    """The first gate on the test rows of several weeks, each with the candidate and the champion of its week."""

    def __init__(self, weeks: int) -> None:
        super().__init__()
        self._weeks: deque[np.ndarray] = deque(maxlen=weeks)

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Which candidates are promoted; (histories,)."""
        self._weeks.append(evidence.test)
        cells = np.sum(self._weeks, axis=0)
        return self.reaches(cells) & self.is_not_worse(cells)


ALTERNATIVES: dict[str, Callable[[], FirstGate]] = {
    "Wilson bounds alone, 80 %": lambda: WilsonGate(0.80),
    "Wilson bounds alone, 95 %": lambda: WilsonGate(0.95),
    "paired bound alone, 80 %": lambda: PairedGate(0.80),
    "paired bound alone, 95 %": lambda: PairedGate(0.95),
    "McNemar alone, 5 %": lambda: McNemarGate(0.05),
    "three weeks pooled": lambda: PooledWeeksGate(3),
    "thresholds + 0.02": lambda: FirstGate(more=0.02),
}
"""Gates that were considered instead of the folds."""
