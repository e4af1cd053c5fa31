"""A request to replay the gate: which settings, from which week on, for whom; and its answer as text and tables."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.partitions import Partition, parse_specialist
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.evaluation.gate import GateRules
from nhm_assets.evaluation.policy_replay import Decision, Failed, Replay, replay
from nhm_assets.evaluation.recorded_reports import recorded_evaluations
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_DERIVED: Final = {"in_production": "environment"}
"""Rule of the gate -> the setting that it comes from, where their names differ."""
_BESIDE: Final = ("shadow_agreement",)
"""Rules of checks that decide no promotion."""

FLIP_COLUMNS: Final = ("specialist", "week", "version", "prec.", "recall", "F1", "champion F1", "then", "replayed")
PRODUCTION_COLUMNS: Final = ("specialist", "in Production", "would be", "prec.", "recall", "F1")


@dataclass(frozen=True)
class ReplayRequest:
    """What a person asks: the gate's settings by name, and optionally the first week and one specialist."""

    changes: Mapping[str, str]
    since: str | None = None
    specialist: str | None = None


def gate_settings() -> list[str]:
    """The settings that a replay can change, by the names of their variables."""
    names = (_DERIVED.get(field.name, field.name) for field in fields(GateRules) if field.name not in _BESIDE)
    return sorted(name.upper() for name in names if name in Settings.model_fields)


def run_replay(instance: "DagsterInstance", settings: Settings, request: ReplayRequest) -> Replay:
    """Replay the gate over the reports that the instance has recorded.

    Raises:
        UsageError: a setting, its value, the week or the specialist is unusable.
    """
    asked = with_changes(settings, request.changes)
    require_week(request.since, request.specialist)
    recorded = recorded_evaluations(instance, request.specialist)
    return replay(
        recorded.reports,
        recorded.moves,
        today=lambda specialist: GateRules.of(settings, specialist),
        asked=lambda specialist: GateRules.of(asked, specialist),
        changes=request.changes,
        since=request.since,
        unreadable=recorded.unreadable,
    )


def require_week(since: str | None, specialist: str | None) -> None:
    """Refuse a first week, or a specialist, that does not exist; UsageError names what does."""
    if specialist is not None:
        parse_specialist(specialist)
    if since is not None:
        Partition.parse(since, specialist or all_specialists()[0])


def with_changes(settings: Settings, changes: Mapping[str, str]) -> Settings:
    """The settings with other values for some of the gate's.

    Raises:
        UsageError: none is given, a name is unknown or no setting of the gate, or a value is invalid.
    """
    choice = f"Settings of the gate: {', '.join(gate_settings())}"
    if not changes:
        raise UsageError(f"a replay needs at least one setting with another value. {choice}")
    for name in changes:
        if name.lower() not in Settings.model_fields:
            close = difflib.get_close_matches(name.upper(), gate_settings(), n=1)
            hint = f"Did you mean {close[0]}?" if close else choice
            raise UsageError(f"there is no setting {name}. {hint}")
        if name.upper() not in gate_settings():
            raise UsageError(f"{name} is no setting of the gate, so a replay cannot show what it changes. {choice}")
    try:
        return Settings(**(settings.model_dump() | {name.lower(): value for name, value in changes.items()}))
    except ValidationError as error:
        raise Settings.unusable(error) from None


def summary(result: Replay) -> str:
    """The result in a few sentences."""
    asked = ", ".join(f"{name}={value}" for name, value in result.changes.items())
    flips, count = result.flips, len(result.decisions)
    if not count and not result.unreadable:
        return "No evaluation report is recorded, so there is nothing to replay."
    sentences = [f"With {asked}, {len(flips)} of {count} recorded decisions would be different."]
    if today := sum(decision.flips_today for decision in flips):
        sentences.append(f"{today} of these are different with today's settings too: settings or gate have changed.")
    if undecided := len(result.undecided):
        sentences.append(
            f"{undecided} more may be: their first checks pass with these settings, but their reports lack the folds,"
            " the reference or the comparison that the gate then asks for. They count as held here; materialize"
            " evaluation_report again to know."
        )
    if elsewhere := sum(decision.elsewhere for decision in result.decisions):
        sentences.append(
            f"In {elsewhere} of the recorded decisions, another version would have been the champion. The comparison in"
            " their reports is still the one with the champion at that time."
        )
    if result.unreadable:
        sentences.append(f"This release cannot read {result.unreadable} more reports.")
    return " ".join([*sentences, "Nothing was moved."])


def flip_rows(result: Replay) -> list[list[str]]:
    """One row per decision that would be different, or may be."""
    return [_flip_row(decision) for decision in result.decisions if decision.flips or decision.undecided]


def _flip_row(decision: Decision) -> list[str]:
    report = decision.report
    metrics, champion = report.candidate, report.champion
    figures = [f"{value:.3f}" for value in (metrics.precision, metrics.recall, metrics.f1)]
    compared = f"{champion.metrics.f1:.3f} (version {champion.version})" if champion else "none"
    then = _verdict(decision.recorded)
    replayed = "not decided: not in the report" if decision.undecided else _verdict(decision.replayed)
    return [report.specialist, report.week, report.version, *figures, compared, then, replayed]


def _verdict(failed: Failed) -> str:
    return f"held by {', '.join(failed)}" if failed else "passes"


def production_rows(result: Replay) -> list[list[str]]:
    """One row per specialist: what is in Production by the records, and what would be there, with its metrics."""
    rows = []
    for specialist, now in sorted(result.production.items()):
        known = result.metrics.get((specialist, now.replayed or ""))
        figures = [f"{value:.3f}" for value in (known.precision, known.recall, known.f1)] if known else ["?"] * 3
        rows.append([specialist, now.recorded or "none", now.replayed or "none", *figures])
    return rows
