"""What a promotion did, by which rule, and why what got worse was allowed. The first metadata of `promoted_version`."""

from typing import Final

from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.records import EvaluationReport, Metrics

_SCORES: Final = ("f1", "precision", "recall", "accuracy")
_EQUAL: Final = 0.0005
"""A smaller difference does not show in three decimals."""


def argument(report: EvaluationReport, *, previous: str | None, max_f1_regression: float) -> str:
    """Markdown of fewer than 1,000 characters, so that Dagster's UI shows it at once.

    Args:
        report: that opened the gate.
        previous: the version in Production before; None if there was none, or if it was this one.
        max_f1_regression: MAX_F1_REGRESSION.
    """
    replaced = f"It replaces version {previous}." if previous else "It replaces no other version."
    lines = [
        f"**PROMOTED**: {report.specialist} {report.week}, version {report.version} is in Production. {replaced}",
        "",
        f"Rule: all {len(GATE_CHECKS)} gate checks on `evaluation_report` passed for exactly this report.",
        "",
        *_table(report),
        "",
        *_reasons(report, max_f1_regression),
    ]
    if report.flip_rate is not None:
        lines.append(f"On {report.flip_rate:.0%} of the samples of these plans the gate decides otherwise.")
    return "\n".join(lines)


def _table(report: EvaluationReport) -> list[str]:
    champion = report.champion
    if champion is None:
        return [
            "| | candidate |",
            "|---|---|",
            *(f"| {_title(name)} | {_of(report.candidate, name)} |" for name in _SCORES),
        ]
    head = [f"| | candidate | champion, version {champion.version} | difference |", "|---|---|---|---|"]
    for name in _SCORES:
        cells = (
            _title(name),
            _of(report.candidate, name),
            _of(champion.metrics, name),
            f"{_change(report, name):+.3f}",
        )
        head.append(f"| {' | '.join(cells)} |")
    return head


def _reasons(report: EvaluationReport, max_f1_regression: float) -> list[str]:
    """Why it was allowed, in sentences."""
    if report.champion is None:
        foreign = report.foreign_champion
        if foreign:
            return [f"Version {foreign.version} is foreign and was not compared, so the other checks decided."]
        return ["There was no champion to compare with, so the thresholds and the dummy classifiers decided."]
    found = [_of_f1(report, max_f1_regression)]
    if sunk := [name for name in ("precision", "recall") if _change(report, name) <= -_EQUAL]:
        found.append(f"{_lower(report, sunk)}: allowed, since only the thresholds decide by {' and '.join(sunk)}.")
    if _change(report, "accuracy") <= -_EQUAL:
        found.append(f"{_lower(report, ['accuracy'])}: allowed, since no check decides by accuracy.")
    return found


def _of_f1(report: EvaluationReport, max_f1_regression: float) -> str:
    fair = report.new_rows.test if report.new_rows else None
    change = _change(report, "f1")
    if change > -_EQUAL:
        return f"F1 {'equal' if change < _EQUAL else f'{change:.3f} higher'}."
    if change >= -max_f1_regression:
        return f"F1 {-change:.3f} lower: allowed, since MAX_F1_REGRESSION is {max_f1_regression:.3f}."
    if fair:
        return (
            f"F1 {-change:.3f} lower on all test rows: allowed, since the champion has learned {fair.left_out} of them"
            f" or their plans. On the {fair.rows} others it is {fair.f1:.3f} against {fair.champion_f1:.3f}."
        )
    return f"F1 {-change:.3f} lower: allowed by the checks on `evaluation_report`, which compared other rows too."


def _lower(report: EvaluationReport, names: list[str]) -> str:
    text = ", ".join(f"{_title(name)} {-_change(report, name):.3f} lower" for name in names)
    return text[0].upper() + text[1:]


def _change(report: EvaluationReport, name: str) -> float:
    if report.champion is None:
        return 0.0
    return float(getattr(report.candidate, name)) - float(getattr(report.champion.metrics, name))


def _of(metrics: Metrics, name: str) -> str:
    return f"{getattr(metrics, name):.3f}"


def _title(name: str) -> str:
    return "F1" if name == "f1" else name
