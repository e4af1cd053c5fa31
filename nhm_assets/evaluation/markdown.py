"""The report as Markdown tables, for the UI."""

from nhm_assets.domain.dataset_schema import CLASS_NAMES
from nhm_assets.domain.records import EvaluationReport, Settling

_ROWS = ("precision", "recall", "f1", "accuracy", "macro_f1", "brier", "log_loss")


def comparison_table(report: EvaluationReport) -> str:
    """One row per metric: candidate, its 95 % interval, champion. The confusion matrix follows."""
    champion = report.champion
    title = f"champion, version {champion.version}" if champion else "champion"
    lines = [f"| | candidate, version {report.version} | 95 % | {title} |", "|---|---|---|---|"]
    for name in _ROWS:
        interval = report.intervals.get(name)
        shown = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
        champion_value = f"{getattr(champion.metrics, name):.3f}" if champion else "none"
        lines.append(f"| {name} | {getattr(report.candidate, name):.3f} | {shown} | {champion_value} |")
    if report.foreign_champion:
        foreign = report.foreign_champion
        lines += ["", f"Version {foreign.version} in Production is foreign: {foreign.reason}."]
    if champion:
        comparison = champion.comparison
        lines.append("")
        lines.append(
            f"Only the candidate tells approve from not approve in {comparison.only_candidate_right} rows, only the"
            f" champion in {comparison.only_champion_right} (McNemar's test: p = {comparison.mcnemar_p:.3f})."
        )
    lines += _doubt(report)
    lines += ["", f"| true \\ predicted | {' | '.join(CLASS_NAMES)} |", "|---|---|---|---|"]
    for name, row in zip(CLASS_NAMES, report.candidate.confusion, strict=True):
        lines.append(f"| {name} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def _doubt(report: EvaluationReport) -> list[str]:
    if report.flip_rate is None:
        return []
    lines = [
        "",
        f"Flip rate {report.flip_rate:.3f}: on this share of 200 samples of the plans the gate decides otherwise.",
    ]
    return [*lines, "", settling_sentence(report.settling)] if report.settling else lines


def settling_sentence(settling: Settling) -> str:
    """What would settle it, in words."""
    if settling.plans is None:
        return "More reviewed plans would not settle it: the candidate is on the line."
    classes = f"{settling.approve} opinions approve, {settling.not_approve} not"
    return (
        f"About {settling.plans} further reviewed plans ({classes}) would settle it with a probability of 0.8: the"
        f" probability that it then passes is {settling.passes:.2f}, that it is below the line {settling.below:.2f}."
    )


def importance_table(report: EvaluationReport) -> str:
    """Features by importance, the most important first."""
    ordered = sorted(report.importances.items(), key=lambda item: -item[1])
    return "\n".join(
        ["| feature | F1 lost when shuffled |", "|---|---|", *(f"| {name} | {loss:.4f} |" for name, loss in ordered)]
    )
