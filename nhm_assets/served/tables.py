"""A week as tables, for the UI."""

from collections.abc import Sequence
from typing import Any

from dagster import MetadataValue

from nhm_assets.domain.ab_records import LIVE, AbResult
from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.drift_records import Drift, Estimate
from nhm_assets.domain.served_records import Agreement, Answered, ServedQuality
from nhm_assets.served.ab_verdict import figure
from nhm_assets.steps.tables import pairs


def metadata_of(quality: ServedQuality, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Metadata of the asset: figures that Dagster plots over the weeks and the exporter shows, and tables."""
    shown: dict[str, Any] = {"model": quality.model, "measured_until": quality.end.isoformat()}
    shown["warns"] = pairs("check", "warns", {one.check: int(not one.passed) for one in verdicts})
    if quality.version is not None:
        shown["version"] = quality.version
    if quality.answered:
        shown |= {"opinions": quality.answered.opinions, "answers": MetadataValue.md(answers_table(quality.answered))}
        shown["answered_by"] = pairs("by", "opinions", _answered_by(quality.answered))
    if served := quality.agreement(quality.version):
        shown |= _figures(served)
    if quality.agreements:
        shown["agreement"] = MetadataValue.md(agreement_table(quality))
    return shown | _before_labels(quality) | _ab_test(quality.ab_test) | _not_measured(quality)


def _before_labels(quality: ServedQuality) -> dict[str, Any]:
    """Drift and estimates."""
    shown: dict[str, Any] = {}
    if quality.drift and quality.drift.of_features:
        shown |= {
            "largest_psi": quality.drift.of_features[0].psi,
            "drift": MetadataValue.md(drift_table(quality.drift)),
        }
    if quality.estimate and quality.estimate.f1 is not None:
        shown |= {"estimated_f1": quality.estimate.f1, "unreviewed": quality.estimate.plans}
    if quality.checked or quality.estimate:
        shown["estimates"] = MetadataValue.md(estimates_table(quality))
    return shown


def _ab_test(result: AbResult | None) -> dict[str, Any]:
    if result is None:
        return {}
    shown: dict[str, Any] = {"ab_test": MetadataValue.md(ab_table(result))}
    if auc := result.auc:
        shown |= {"ab_auc_low": auc.low, "ab_auc_difference": auc.value, "ab_auc_high": auc.high}
    return shown


def _not_measured(quality: ServedQuality) -> dict[str, Any]:
    lines = [f"- {part}: {reason}" for part, reason in {**quality.absent, **quality.faults}.items()]
    return {"not_measured": MetadataValue.md("\n".join(lines))} if lines else {}


def _figures(served: Agreement) -> dict[str, Any]:
    figures = {
        "reviewed": served.reviewed,
        "f1": served.calls.f1,
        "auc": served.auc,
        "brier": served.brier,
        "unattended": served.unattended / served.reviewed,
        "unattended_precision": served.unattended_approved / served.unattended if served.unattended else None,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _answered_by(answered: Answered) -> dict[str, int]:
    expected = answered.by_model - answered.unexpected
    counts = (expected, answered.fallbacks, answered.unexpected, answered.untold)
    return dict(zip(("model", "fallback", "replaced", "untold"), counts, strict=True))


def answers_table(answered: Answered) -> str:
    """Who gave the opinions."""
    rows = [("all", answered.opinions)]
    rows += [(f"version {version}", count) for version, count in answered.by_version.items()]
    rows += [(f"no model: {name}", count) for name, count in answered.by_fallback.items()]
    rows.append(("between a promotion and the end of its restart", answered.in_gap))
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


def drift_table(drift: Drift) -> str:
    """What has moved, and how far; chance explains a PSI below the bar."""
    lines = [
        f"{drift.plans} plans, {drift.answers} answers and {drift.labels} labels against {drift.learned} rows.",
        "",
    ]
    lines += ["| | PSI | bar | moved |", "|---|---|---|---|"]
    for shift in (*drift.of_features, *drift.of_answers, *drift.of_labels):
        name = f"**{shift.name}**" if shift.name in drift.important else shift.name
        lines.append(f"| {name} | {shift.psi:.3f} | {shift.bar:.3f} | {shift.band} |")
    return "\n".join(lines)


def estimates_table(quality: ServedQuality) -> str:
    """F1 as the confidence promised it, beside what came true."""
    lines = ["| opinions | plans | F1 promised | 90 % | F1 by people |", "|---|---|---|---|---|"]
    rows: list[tuple[str, Estimate, float | None]] = []
    if quality.estimate:
        rows.append(("not reviewed", quality.estimate, None))
    rows += [(_when(one.weeks_before), one.estimate, one.realized) for one in quality.checked]
    for name, estimate, realized in rows:
        interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
        lines.append(f"| {name} | {estimate.plans} | {_figure(estimate.f1)} | {interval} | {_figure(realized)} |")
    return "\n".join(lines)


def ab_table(result: AbResult) -> str:
    """An A/B test: the verdict first, then what it is made of."""
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in ab_rows(result))])
    return f"{result.verdict.sentence}\n\n{table}"


def ab_rows(result: AbResult) -> list[tuple[str, str]]:
    """What an A/B test is made of, in the order in which people read it."""
    test = result.test
    live = test.mode == LIVE
    given = ", ".join(f"{variant}: {plans}" for variant, plans in result.plans.items())
    return [
        ("test", test.sentence),
        ("counted until", f"{result.until:%Y-%m-%d %H:%M} UTC"),
        ("opinions of either version" if live else "plans that both answered", str(result.answered)),
        *([] if live else [("plans whose features are not stored", str(result.unusable))]),
        ("reviewed", f"{result.reviewed}, {result.approvals} of them approved"),
        ("AUC", figure(result.auc)),
        ("precision from 0.8 on", figure(result.precision)),
        (f"assignment by hash, {test.split:.0%} to the champion", given),
        ("opinions with marks", f"{result.marked}, {result.disagreeing} of them differ from the assignment"),
    ]


def _when(weeks_before: int) -> str:
    return f"reviewed {weeks_before} weeks before" if weeks_before else "reviewed this week"


def _row(one: Agreement) -> str:
    share = f"{one.unattended / one.reviewed:.0%}"
    precision = f"{one.unattended_approved / one.unattended:.0%}" if one.unattended else "none"
    cells = [one.version, one.reviewed, one.approvals, _figure(one.calls.f1), _figure(one.auc), _figure(one.brier)]
    return f"| {' | '.join(map(str, [*cells, share, precision]))} |"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
