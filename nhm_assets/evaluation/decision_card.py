"""The decision on one page: promoted or held, by how much, and what to do next.

It is the first metadata of `evaluation_report`. Dagster's UI hides Markdown of more than 1,000 characters behind a
button, so the card stays below.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.gate import failed_verdicts
from nhm_assets.evaluation.held_as import ThirdVerdict
from nhm_assets.evaluation.markdown import settling_sentence

LONGEST: Final = 1000
_NOT_JUDGED: Final = ("enough_evidence",)
_LONGEST_SENTENCE: Final = 240
_FIGURES: Final = (
    ("precision_threshold", "precision", "precision", "PRECISION_THRESHOLD"),
    ("recall_threshold", "recall", "recall", "RECALL_THRESHOLD"),
    ("f1_threshold", "F1", "f1", "F1_THRESHOLD"),
    ("not_worse_than_production", "F1 - champion's F1", "f1", "MAX_F1_REGRESSION"),
    ("not_worse_on_folds", "the same on folds, at least", "lower_limit", "MAX_F1_REGRESSION"),
    ("not_worse_than_reference", "F1 - reference's F1", "difference", "MAX_F1_REGRESSION_TO_REFERENCE"),
)
"""Check, what its row is called, and the figures of its verdict that hold the value and what is required."""


def decision_card(report: EvaluationReport, verdicts: Sequence[Verdict], held: ThirdVerdict | None) -> str:
    """The card as Markdown, of fewer than 1,000 characters.

    Args:
        report: of the candidate.
        verdicts: of the gate, on this report.
        held: how the candidate is held; None if it passes.
    """
    failed = failed_verdicts(list(verdicts))
    subject = f"{report.specialist} {report.week}, version {report.version}"
    lines = [
        f"**{_decision(failed, held)}**: {subject}",
        "",
        _shortened(failed[0].reason if failed else "Every gate check passed."),
        "",
        "| check | value | required | distance | |",
        "|---|---|---|---|---|",
        *_rows(verdicts),
        "",
        _champion(report),
        "",
        _next(report, failed, held),
    ]
    if others := [verdict.check for verdict in failed[1:]]:
        lines[2] += f" Also failed: {', '.join(others)}."
    return _fitting(lines)


def _decision(failed: Sequence[Verdict], held: ThirdVerdict | None) -> str:
    if not failed:
        return "PASSED"
    if any(verdict.check in _NOT_JUDGED for verdict in failed):
        return "NOT JUDGED"
    return f"HELD ({held.held_as.in_words})" if held else "HELD"


def _rows(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures by which the checks decided, one row each. A check that compared nothing has no row."""
    rows = []
    for verdict in verdicts:
        figures = verdict.figures
        for check, name, value, required in _FIGURES:
            if verdict.check == check and value in figures and required in figures:
                rows.append(_row(name, _value(figures, value), _required(figures, required), passed=verdict.passed))
    return rows


def _value(figures: Mapping[str, Any], name: str) -> float:
    compared = name == "f1" and "production_f1" in figures
    return float(figures[name]) - (float(figures["production_f1"]) if compared else 0.0)


def _required(figures: Mapping[str, Any], name: str) -> float:
    """A threshold, or how far below the other version the candidate may be."""
    return -float(figures[name]) if name.startswith("MAX_F1_REGRESSION") else float(figures[name])


def _row(name: str, value: float, required: float, *, passed: bool) -> str:
    return f"| {name} | {value:.3f} | {required:.3f} | {value - required:+.3f} | {'pass' if passed else '**FAIL**'} |"


def _champion(report: EvaluationReport) -> str:
    if report.champion is not None:
        return f"Champion: version {report.champion.version}, F1 {report.champion.metrics.f1:.3f} on the same rows."
    if report.foreign_champion is not None:
        return f"Champion: version {report.foreign_champion.version}, which is foreign and was not compared."
    return "There is no champion to compare with."


def _next(report: EvaluationReport, failed: Sequence[Verdict], held: ThirdVerdict | None) -> str:
    if not failed:
        return "Next: nothing to do. `promoted_version` moves it into Production if no newer window is there."
    if any(verdict.check in _NOT_JUDGED for verdict in failed):
        return f"Next: wait for more reviews. {_what_serves(report)}"
    if held is not None and held.held_as == "uncertain":
        settled = settling_sentence(report.settling) if report.settling else "The next week decides."
        return f"Next: wait. {settled}"
    return f"Next: look at the labels of the dataset and at `feedback_quarantine`. {_what_serves(report)}"


def _what_serves(report: EvaluationReport) -> str:
    if report.compared_with is None:
        return "No version is in Production yet."
    return "The version in Production keeps serving."


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST_SENTENCE else f"{sentence[: _LONGEST_SENTENCE - 3]}..."


def _fitting(lines: Sequence[str]) -> str:
    """The lines as one text; the champion's line goes first if it is too long."""
    text = "\n".join(lines)
    if len(text) < LONGEST:
        return text
    shorter = "\n".join([*lines[:-4], *lines[-2:]])
    return shorter if len(shorter) < LONGEST else f"{shorter[: LONGEST - 4]}..."
