"""How sure the gate's decision is: its flip rate, and what would settle it.

Both ask the gate itself about reports of other plans. All that the gate looks at are sums over rows. So each plan is a
row of sums, a sample of plans is the sum of such rows, and the report of a sample is computed from that sum.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.fold_records import Pooled, Reference
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.outcomes import HeldAs
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.flip_rate import flip_rate
from nhm_assets.evaluation.folds import PooledRows
from nhm_assets.evaluation.gate import GateRules
from nhm_assets.evaluation.held_as import held_as
from nhm_assets.evaluation.metrics import baselines, ratios
from nhm_assets.evaluation.paired_counts import KINDS, f1_difference, one_hot
from nhm_assets.evaluation.posteriors import Calls
from nhm_assets.evaluation.resampling import PlanSums
from nhm_assets.evaluation.settling import settling

_NOBODY = "no version was asked"


@dataclass(frozen=True)
class Evidence:
    """The rows that the gate has judged, and what models call them.

    Attributes:
        rows: of the test, and of the folds that count.
        compared: the rows on which the candidate is compared with the champion; None if it is not compared.
        reference: whether the reference calls each row approve; None if none was asked.
        reference_rows: the rows on which the candidate is compared with the reference.
        dummies: name -> whether this dummy classifier calls each row approve; only its test rows count.
    """

    rows: PooledRows
    compared: np.ndarray | None
    reference: Calls | None
    reference_rows: np.ndarray | None
    dummies: Mapping[str, Calls]


def dummy_calls(training_rows: pd.DataFrame, rows: PooledRows) -> dict[str, Calls]:
    """What the dummy classifiers of `beats_baseline` call the test rows; other rows are not asked about."""
    calls = {}
    for name, predicted in baselines(training_rows, taken(rows.rows, rows.test)).items():
        calls[name] = np.zeros(len(rows.labels), dtype=bool)
        calls[name][rows.test] = predicted == APPROVE
    return calls


def with_doubt(report: EvaluationReport, evidence: Evidence, rules: GateRules) -> EvaluationReport:
    """The report with its flip rate and, if the candidate is held as uncertain, with what would settle it.

    Both are those of the rules at the time of the evaluation.
    """
    samples = Samples.of(_decidable(report, evidence.rows, rules), evidence)

    def passes(sums: np.ndarray) -> np.ndarray:
        return np.array([held_as(made, rules) is None for made in samples.reports(sums)])

    def decides(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [held_as(made, rules) for made in samples.reports(sums)]
        return np.array([one is None for one in found]), np.array([one is HeldAs.BELOW for one in found])

    found: dict[str, Any] = {"flip_rate": flip_rate(samples.plans, passes)}
    if held_as(report, rules) is HeldAs.UNCERTAIN:
        approve = int(evidence.rows.labels.sum())
        not_approve = len(evidence.rows.labels) - approve
        found["settling"] = settling(samples.plans, decides, approve=approve, not_approve=not_approve)
    return report.model_copy(update=found)


def _decidable(report: EvaluationReport, rows: PooledRows, rules: GateRules) -> EvaluationReport:
    """The report as one that answers all questions: without folds, over the test rows alone."""
    if report.folds is not None or not rules.gate_folds:
        return report
    counts = _pooled(_kinds(rows.labels, rows.candidate).sum(axis=0))
    reference = Reference(weeks=rules.reference_weeks, reason=_NOBODY)
    return report.model_copy(update={"folds": [], "pooled": counts, "reference": reference})


def _kinds(truth: Calls, calls: Calls) -> np.ndarray:
    """Each row as tn, fp, fn or tp; shape (n, 4)."""
    return np.eye(4, dtype="int8")[2 * truth.astype("int8") + calls]


def _pooled(counts: np.ndarray) -> Pooled:
    tn, fp, fn, tp = map(int, counts)
    return Pooled(tp=tp, fp=fp, fn=fn, tn=tn)


@dataclass(frozen=True)
class Samples:
    """Reports of samples of plans.

    Attributes:
        base: the report of all plans.
        plans: sums of each plan.
        columns: what the columns of the sums count.
    """

    base: EvaluationReport
    plans: PlanSums
    columns: Mapping[str, slice]

    @classmethod
    def of(cls, base: EvaluationReport, evidence: Evidence) -> "Samples":
        """Add up the rows of each plan."""
        parts = dict(_parts(evidence))
        ends = np.cumsum([part.shape[1] for part in parts.values()])
        columns = {
            name: slice(int(end) - part.shape[1], int(end))
            for (name, part), end in zip(parts.items(), ends, strict=True)
        }
        return cls(base, PlanSums.of(evidence.rows.plan_ids, np.hstack(list(parts.values()))), columns)

    def reports(self, sums: np.ndarray) -> Iterator[EvaluationReport]:
        """The report of each sample; sums have the shape (samples, columns)."""
        counts = {name: sums[:, columns] for name, columns in self.columns.items()}
        tests, pooled = counts["test"], counts["pooled"]
        rates = np.column_stack(_rates(tests))
        dummies = {name: _rates(counts[name])[2] for name in self.base.baseline_f1 if name in counts}
        rivals = {
            name: np.column_stack([*f1_difference(counts[name]), counts[name].sum(axis=1), _approvals(counts[name])])
            for name in ("champion", "fair", "compared", "reference")
            if name in counts
        }
        for at in range(len(sums)):
            precision, recall, f1 = map(float, rates[at])
            candidate = {"precision": precision, "recall": recall, "f1": f1}
            yield self.base.model_copy(
                update={
                    "candidate": self.base.candidate.model_copy(update=candidate),
                    "test_rows": int(tests[at].sum()),
                    "test_approvals": int(tests[at, 2:].sum()),
                    "baseline_f1": self.base.baseline_f1 | {name: float(f1s[at]) for name, f1s in dummies.items()},
                    "pooled": self.base.pooled and _pooled(pooled[at]),
                    **self._against({name: values[at].tolist() for name, values in rivals.items()}),
                }
            )

    def _against(self, rivals: Mapping[str, list[float]]) -> dict[str, Any]:
        """The fields of the comparisons: F1 of candidate and rival, standard error, rows and approvals of each."""
        found: dict[str, Any] = {}
        champion, new_rows, reference = self.base.champion, self.base.new_rows, self.base.reference
        if champion and "champion" in rivals:
            metrics = champion.metrics.model_copy(update={"f1": rivals["champion"][1]})
            found["champion"] = champion.model_copy(update={"metrics": metrics})
        if new_rows and new_rows.test:
            f1, champion_f1, _, rows, approvals = rivals["fair"]
            fair = {"rows": int(rows), "approvals": int(approvals), "f1": f1, "champion_f1": champion_f1}
            found["new_rows"] = new_rows.model_copy(update={"test": new_rows.test.model_copy(update=fair)})
        if "compared" in rivals:
            f1, champion_f1, error, rows, _ = rivals["compared"]
            found |= {"difference": f1 - champion_f1, "standard_error": error, "fair_rows": int(rows)}
        if reference and "reference" in rivals:
            difference = rivals["reference"][0] - rivals["reference"][1]
            found["reference"] = reference.model_copy(update={"difference": difference})
        return found


def _rates(counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Precision, recall and F1 from counts of tn, fp, fn, tp; shape (samples, 4)."""
    _, fp, fn, tp = counts.T
    return ratios(tp, tp + fn, tp + fp)


def _approvals(counts: np.ndarray) -> np.ndarray:
    """Rows that are labelled approve, from paired counts."""
    return counts[:, KINDS // 2 :].sum(axis=1)


def _parts(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """What the gate looks at, as columns of counts."""
    rows = evidence.rows
    test = rows.test[:, None]
    yield "test", _kinds(rows.labels, rows.candidate) * test
    yield "pooled", _kinds(rows.labels, rows.candidate)
    for name, calls in evidence.dummies.items():
        yield name, _kinds(rows.labels, calls) * test
    if rows.champion is not None:
        pairs = one_hot(rows.labels, rows.candidate, rows.champion)
        yield "champion", pairs * test
        yield "fair", pairs * test * rows.fair[:, None]
        if evidence.compared is not None:
            yield "compared", pairs * evidence.compared[:, None]
    if evidence.reference is not None and evidence.reference_rows is not None:
        yield "reference", one_hot(rows.labels, rows.candidate, evidence.reference) * evidence.reference_rows[:, None]
