"""The policy replay: what the gate with other settings makes of the reports that are recorded. It moves nothing.

The champion of a report is the one that was in Production then. Where the other settings would have promoted another
version before, the comparison in the report is still the one with that champion; `elsewhere` says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from nhm_assets.domain.records import EvaluationReport, Metrics
from nhm_assets.evaluation.gate import GateRules, failed_gate, is_complete, judge

Failed = tuple[str, ...]
"""Names of the gate checks that failed; empty if the candidate passes the gate."""


RulesOf = Callable[[str], GateRules]
"""The rules by which the gate judges a specialist."""


@dataclass(frozen=True)
class RecordedReport:
    """A report, and what was decided about it.

    Attributes:
        at: when it was recorded.
        failed: the gate checks that were recorded as failed; None if no verdict is recorded.
        for_promotion: whether the run went on to promote a candidate that passes.
    """

    report: EvaluationReport
    at: datetime
    run_id: str
    failed: Failed | None
    for_promotion: bool


@dataclass(frozen=True)
class Move:
    """A version that was put into Production, or a rollback, as it is recorded.

    Attributes:
        from_version: the version that a rollback took out of Production; None in a promotion.
    """

    specialist: str
    version: str
    at: datetime
    kind: Literal["promotion", "rollback"]
    from_version: str | None = None


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and what would have become of it.

    Attributes:
        recorded: the gate checks that failed then; those of today's settings if none are recorded.
        today: those that fail with today's settings.
        replayed: those that fail with the other settings.
        undecided: whether the report does not say what the other settings decide: its first checks pass with them, and
            then the gate wants folds that were not fitted, because they had failed, or another reference, or a
            comparison on other rows (MIN_TEST_ROWS).
        elsewhere: whether the report compares the candidate with a version that would not have been in Production.
    """

    report: EvaluationReport
    at: datetime
    run_id: str
    recorded: Failed
    today: Failed
    replayed: Failed
    undecided: bool = False
    elsewhere: bool = False

    @property
    def flips(self) -> bool:
        """Whether the other settings decide otherwise than it was decided then."""
        return not self.undecided and bool(self.recorded) != bool(self.replayed)

    @property
    def flips_today(self) -> bool:
        """Whether today's settings decide otherwise too: not only the asked change makes the difference."""
        return bool(self.recorded) != bool(self.today)


@dataclass(frozen=True)
class InProduction:
    """The version in Production now: by the records, and as it would be. None if there is none, or none is known."""

    recorded: str | None
    replayed: str | None


@dataclass(frozen=True)
class Replay:
    """The result.

    Attributes:
        changes: the settings that were asked about, by name.
        decisions: in the order in which they were made.
        production: by specialist.
        metrics: specialist and version -> its metrics by its newest report, of whatever week.
        unreadable: number of recorded reports that this release cannot read.
    """

    changes: Mapping[str, str]
    decisions: Sequence[Decision]
    production: Mapping[str, InProduction]
    metrics: Mapping[tuple[str, str], Metrics]
    unreadable: int = 0

    @property
    def flips(self) -> list[Decision]:
        """The decisions that the other settings would have changed."""
        return [decision for decision in self.decisions if decision.flips]

    @property
    def undecided(self) -> list[Decision]:
        """The decisions that the reports do not tell. They count as held."""
        return [decision for decision in self.decisions if decision.undecided]


@dataclass
class _Production:
    """What is in Production of one specialist while the records are gone through.

    Attributes:
        passed: the end of the window of each version that passed the gate with the other settings.
        before: the versions that were in Production before, the newest last.
        barred: versions that were rolled back.
    """

    version: str | None
    champion_end: datetime | None
    passed: dict[str, datetime] = field(default_factory=dict)
    before: list[tuple[str | None, datetime | None]] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)

    def settle(self, decision: Decision, *, for_promotion: bool) -> None:
        """Regard what the other settings decide about a candidate; what they cannot decide counts as held."""
        version = decision.report.version
        if decision.replayed or decision.undecided:
            self.passed.pop(version, None)
            return
        self.passed[version] = decision.report.window_end
        if for_promotion:
            self.promote(version)

    def promote(self, version: str) -> None:
        """Put a version into Production, unless the gate, a rollback or a newer window keeps it out."""
        end = self.passed.get(version)
        is_older = end and self.champion_end and end < self.champion_end
        if end is None or is_older or version in self.barred or version == self.version:
            return
        self.before.append((self.version, self.champion_end))
        self.version, self.champion_end = version, end

    def take_out(self, move: Move) -> None:
        """A rollback stays what it was: its version leaves, and does not come back by itself."""
        self.barred.discard(move.version)
        if move.from_version is None:
            return
        self.barred.add(move.from_version)
        if self.version == move.from_version:
            self.version, self.champion_end = self._back_at(move.version)

    def _back_at(self, version: str) -> tuple[str | None, datetime | None]:
        """What comes back for a rollback to this version: the one before, where the gate never let this one in."""
        known = {number: end for number, end in self.before if number} | self.passed
        if version not in known:
            return self.before.pop() if self.before else (version, None)
        numbers = [number for number, _ in self.before]
        if version in numbers:
            del self.before[numbers.index(version) :]
        return version, known[version]


def replay(
    reports: Iterable[RecordedReport],
    moves: Iterable[Move],
    *,
    today: RulesOf,
    asked: RulesOf,
    changes: Mapping[str, str],
    since: str | None = None,
    unreadable: int = 0,
) -> Replay:
    """Judge every recorded report with today's settings and with other ones.

    Args:
        reports: of all weeks, in the order in which they were recorded.
        moves: promotions and rollbacks of the same specialists, in the order in which they were made.
        today: the rules of today's settings for a specialist.
        asked: the rules with the changed settings. A specialist's own thresholds stay its own.
        changes: the changed settings, by name.
        since: the first week that is replayed; None for all.
        unreadable: number of reports that could not be read.
    """
    known, moved = list(reports), list(moves)
    replayed = [one for one in known if since is None or one.report.week >= since]
    window_ends = {(one.report.specialist, one.report.version): one.report.window_end for one in known}
    decisions: list[Decision] = []
    production: dict[str, _Production] = {}
    events: list[RecordedReport | Move] = [*replayed, *moved]
    for event in sorted(events, key=lambda event: event.at):
        if isinstance(event, Move):
            if event.specialist in production:
                _repeat_move(production[event.specialist], event)
            continue
        report = event.report
        champion = report.compared_with
        champion_end = window_ends.get((report.specialist, champion or ""))
        state = production.setdefault(report.specialist, _Production(champion, champion_end))
        rules = today(report.specialist), asked(report.specialist)
        decision = _decide(event, *rules, elsewhere=champion not in (state.version, report.version))
        decisions.append(decision)
        state.settle(decision, for_promotion=event.for_promotion)
    recorded = {move.specialist: move.version for move in moved}
    now = {
        specialist: InProduction(recorded.get(specialist), state.version) for specialist, state in production.items()
    }
    metrics = {(one.report.specialist, one.report.version): one.report.candidate for one in known}
    return Replay(changes, _without_repeats(decisions), now, metrics, unreadable)


def _repeat_move(state: _Production, move: Move) -> None:
    """What people did then, they would have done with the other settings too, as far as the gate lets them."""
    if move.kind == "rollback":
        state.take_out(move)
    else:
        state.promote(move.version)


def _decide(recorded: RecordedReport, today: GateRules, asked: GateRules, *, elsewhere: bool) -> Decision:
    failed_today = tuple(failed_gate(judge(recorded.report, today)))
    return Decision(
        report=recorded.report,
        at=recorded.at,
        run_id=recorded.run_id,
        recorded=failed_today if recorded.failed is None else recorded.failed,
        today=failed_today,
        replayed=tuple(failed_gate(judge(recorded.report, asked))),
        undecided=not recorded.report.precedes_folds and not is_complete(recorded.report, asked),
        elsewhere=elsewhere,
    )


def _without_repeats(decisions: Iterable[Decision]) -> list[Decision]:
    """A report that a later run took over, and judged alike, is one decision."""
    kept: dict[tuple[str, Failed], Decision] = {}
    for decision in decisions:
        kept.setdefault((decision.report.digest(), decision.recorded), decision)
    return list(kept.values())


def as_json(result: Replay) -> dict[str, Any]:
    """The replay as JSON."""
    return {
        "settings": dict(result.changes),
        "reports": len(result.decisions),
        "unreadable_reports": result.unreadable,
        "flips": [_as_json(decision) for decision in result.flips],
        "decisions": [_as_json(decision) for decision in result.decisions],
        "production": {
            specialist: {"recorded": versions.recorded, "replayed": versions.replayed}
            for specialist, versions in result.production.items()
        },
    }


def _as_json(decision: Decision) -> dict[str, Any]:
    report = decision.report
    champion = report.champion
    metrics = {"precision", "recall", "f1", "accuracy"}
    return {
        "specialist": report.specialist,
        "week": report.week,
        "version": report.version,
        "recorded_at": decision.at.isoformat(),
        "dagster_run_id": decision.run_id,
        "metrics": report.candidate.model_dump(include=metrics),
        "champion": {"version": champion.version, **champion.metrics.model_dump(include=metrics)} if champion else None,
        "compared_with": report.compared_with,
        "compared_with_another_champion": decision.elsewhere,
        "recorded_held_by": list(decision.recorded),
        "held_by_with_todays_settings": list(decision.today),
        "held_by": list(decision.replayed),
        "undecided": decision.undecided,
        "flips": decision.flips,
    }
