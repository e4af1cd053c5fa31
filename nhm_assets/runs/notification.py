"""What people and programs are told when a retraining ends."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetKey, DagsterEventType, DagsterInstance

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, TRAINED_MODEL
from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.links import report_link, run_link, runbook_link
from nhm_assets.domain.outcomes import (
    BELOW_IN_A_ROW_TAG,
    BROKEN_BY_TAG,
    GATE_CHECKS,
    HELD_BY_TAG,
    REASON_TAG,
    HeldAs,
    Outcome,
    how_held,
)
from nhm_assets.domain.partitions import Partition
from nhm_assets.runs.queries import held_as, outcome_of
from nhm_assets.runs.tags import PARTITION_TAG
from resources.notifiers import Notification

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, DagsterRun

_KINDS: dict[str, str] = {Outcome.PROMOTED: "success", Outcome.HELD: "warning", Outcome.BROKEN: "failure"}
_ALERT_EVERY: Final = 3
"""Candidates in a row that are below the line: one or two are a bad week, three do not mend themselves."""


@dataclass(frozen=True)
class Message:
    """The end of one retraining, as all receivers get it.

    Attributes:
        held_by: names of the gate checks that failed.
        held_as: `below` or `uncertain` if the candidate is held; None otherwise.
        below_in_a_row: how many candidates of the specialist were `below` one after another, this one included.
        broken_by: what broke the run; None if nothing did.
        version: of the model; None if the run ended before there was one.
        verdicts: gate check -> whether it passed, and its sentence with value and threshold.
        link: address of the run in Dagster's UI.
        report: address of the evaluation report; empty if the run made none.
        runbook: address of what to do about such an outcome.
        restart_at: when the run is started over, because a service was down; None if it is not.
    """

    specialist: str
    week: str
    outcome: str
    reason: str
    held_by: tuple[str, ...]
    broken_by: str | None
    model: str
    version: str | None
    verdicts: dict[str, tuple[bool, str]] = field(default_factory=dict)
    link: str = ""
    report: str = ""
    runbook: str = ""
    restart_at: datetime | None = None
    held_as: str | None = None
    below_in_a_row: int = 0

    @property
    def is_alert(self) -> bool:
        """Whether this is the third candidate in a row that is below the line, or the sixth, and so on."""
        below = self.outcome == Outcome.HELD and self.held_as == HeldAs.BELOW
        return below and self.below_in_a_row > 0 and self.below_in_a_row % _ALERT_EVERY == 0

    @property
    def subject(self) -> str:
        """One line: specialist, week, outcome."""
        by = f" by {self.broken_by}" if self.broken_by else f" by {', '.join(self.held_by)}" if self.held_by else ""
        how = how_held(self.held_as, by_gate=bool(self.held_by))
        row = f"{self.below_in_a_row} in a row" if self.is_alert else ""
        version = f"version {self.version}" if self.version else ""
        details = ", ".join(filter(None, (how, row, version)))
        return f"{self.specialist}, week {self.week}: {self.outcome}{by}{f' ({details})' if details else ''}"

    @property
    def text(self) -> str:
        """The reason, the metrics against their thresholds, and links to the run, the report and the runbook."""
        marks = {True: "passed", False: "FAILED"}
        lines = [f"{marks[passed]} {name}: {sentence}" for name, (passed, sentence) in self.verdicts.items()]
        again = [f"The run is started over at {self.restart_at:%Y-%m-%d %H:%M} UTC."] if self.restart_at else []
        links = {"Run": self.link, "Report": self.report, "What to do": self.runbook}
        linked = [f"{name}: {address}" for name, address in links.items() if address]
        return "\n".join([self.reason, *self._alarm(), *again, *lines, *linked])

    def _alarm(self) -> list[str]:
        if not self.is_alert:
            return []
        sentence = (
            f"{self.below_in_a_row} candidates in a row are below the line, so more weeks alone do not help. Production"
            f" is unchanged. Look at the newest feedback on {self.specialist} and at the thresholds:"
            " docs/operations.md, section 'Held candidates'."
        )
        return [sentence]

    def notification(self) -> Notification:
        """What the receivers get: text for people, all fields for programs."""
        kind = "failure" if self.is_alert else _KINDS.get(self.outcome, "info")
        if self.held_as == HeldAs.UNCERTAIN:
            kind = "info"
        return Notification(self.subject, self.text, kind, {"retraining": self.as_json()})

    def as_json(self) -> dict[str, Any]:
        """All fields, for programs."""
        return {
            "specialist": self.specialist,
            "week": self.week,
            "outcome": self.outcome,
            "reason": self.reason,
            "held_by": list(self.held_by),
            "held_as": self.held_as,
            "below_in_a_row": self.below_in_a_row,
            "broken_by": self.broken_by,
            "model": self.model,
            "version": self.version,
            "gate": {name: {"passed": passed, "says": reason} for name, (passed, reason) in self.verdicts.items()},
            "run": self.link,
            "report": self.report or None,
            "runbook": self.runbook,
            "job": JOB,
        }


def message_about(instance: DagsterInstance, run: "DagsterRun", *, dagster_url: str, runbook_url: str) -> Message:
    """Read the message from the tags and events of an ended run."""
    partition = Partition.from_key(run.tags[PARTITION_TAG])
    outcome = outcome_of(run)
    held_by = "" if outcome is Outcome.BROKEN else run.tags.get(HELD_BY_TAG, "")
    how = held_as(run)
    in_a_row = run.tags.get(BELOW_IN_A_ROW_TAG) if how is HeldAs.BELOW else None
    verdicts = {
        evaluation.check_name: (evaluation.passed, reason_in(evaluation.description))
        for evaluation in _check_evaluations(instance, run)
        if evaluation.asset_key == EVALUATION_REPORT and evaluation.check_name in GATE_CHECKS
    }
    return Message(
        specialist=str(partition.specialist),
        week=partition.week,
        outcome=str(outcome or "nothing decided"),
        reason=run.tags.get(REASON_TAG, ""),
        held_by=tuple(held_by.split(",")) if held_by else (),
        broken_by=run.tags.get(BROKEN_BY_TAG) if outcome is Outcome.BROKEN else None,
        model=partition.specialist.registered_model,
        version=_version(instance, run),
        verdicts=verdicts,
        link=run_link(dagster_url, run.run_id),
        report=report_link(dagster_url, str(partition.key)) if verdicts else "",
        runbook=runbook_link(runbook_url, str(outcome)) if outcome else "",
        held_as=str(how) if how else None,
        below_in_a_row=int(in_a_row or 0),
    )


def _check_evaluations(instance: DagsterInstance, run: "DagsterRun") -> "list[AssetCheckEvaluation]":
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
    return [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]


def _version(instance: DagsterInstance, run: "DagsterRun") -> str | None:
    version = metadata_of(instance, run, TRAINED_MODEL, "version")
    return str(version) if version else None


def metadata_of(instance: DagsterInstance, run: "DagsterRun", asset: AssetKey, name: str) -> Any:
    """One value of what a run has materialized; None if it has not, or has no such value."""
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.dagster_event
        made = event.step_materialization_data.materialization if event else None
        if made and made.asset_key == asset and name in made.metadata:
            return made.metadata[name].value
    return None
