"""A week as tables, for the UI."""

from typing import Any

from dagster import MetadataValue

from nhm_assets.domain.served_records import Agreement, Answered, ServedQuality


def metadata_of(quality: ServedQuality) -> dict[str, Any]:
    """Metadata of the asset: figures that Dagster plots over the weeks, and tables."""
    shown: dict[str, Any] = {"model": quality.model, "measured_until": quality.end.isoformat()}
    if quality.version is not None:
        shown["version"] = quality.version
    if quality.answered:
        shown |= {"opinions": quality.answered.opinions, "answers": MetadataValue.md(answers_table(quality.answered))}
    served = quality.agreement(quality.version)
    if served:
        figures = {"reviewed": served.reviewed, "f1": served.calls.f1, "auc": served.auc, "brier": served.brier}
        shown |= {name: value for name, value in figures.items() if value is not None}
    if quality.agreements:
        shown["agreement"] = MetadataValue.md(agreement_table(quality))
    if quality.faults:
        lines = [f"- {part}: {reason}" for part, reason in quality.faults.items()]
        shown["not_measured"] = MetadataValue.md("\n".join(lines))
    return shown


def answers_table(answered: Answered) -> str:
    """Who gave the opinions."""
    rows = [("all", answered.opinions)]
    rows += [(f"version {version}", count) for version, count in answered.by_version.items()]
    rows += [(f"no model: {name}", count) for name, count in answered.by_fallback.items()]
    rows.append(("between a promotion and its restart", answered.in_gap))
    rows.append(("do not say who gave them", answered.untold))
    rows.append(("by a version that was replaced", answered.unexpected))
    return "\n".join(["| opinions | |", "|---|---|", *(f"| {name} | {count} |" for name, count in rows)])


def agreement_table(quality: ServedQuality) -> str:
    """How far each version's opinions agree with people."""
    head = "| version | reviewed | approved | F1 | AUC | Brier | confidence from 0.8 | approved of these |"
    lines = [head, f"|{'---|' * 8}", *map(_row, quality.agreements)]
    if quality.unattributed:
        lines.append(f"| none | {quality.unattributed} | | | | | | |")
    return "\n".join(lines)


def _row(one: Agreement) -> str:
    share = f"{one.unattended / one.reviewed:.0%}"
    precision = f"{one.unattended_approved / one.unattended:.0%}" if one.unattended else "none"
    cells = [one.version, one.reviewed, one.approvals, _figure(one.calls.f1), _figure(one.auc), _figure(one.brier)]
    return f"| {' | '.join(map(str, [*cells, share, precision]))} |"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
