"""How a partition's run ends, and the tags that record it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The result of a partition's run for its candidate."""

    PROMOTED = "promoted"
    HELD = "held"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"
    INSUFFICIENT_DATA = "insufficient_data"
    BROKEN = "broken"
    REFUSED = "refused"


class HeldAs(StrEnum):
    """What the rows say of a held candidate."""

    BELOW = "below"
    """It is below the line: hardly any chance that the rows only happen to look so."""
    UNCERTAIN = "uncertain"
    """The rows allow both: it may be above the line or below it. Or an A/B test runs; see `how_held`."""

    @property
    def in_words(self) -> str:
        """As people read it behind `held`."""
        return "below the line" if self is HeldAs.BELOW else "uncertain"


def outcomes_named(text: str) -> frozenset[str]:
    """The names in a list separated by commas."""
    return frozenset(filter(None, (name.strip().lower() for name in text.split(","))))


class BrokenBy(StrEnum):
    """Why a run broke."""

    DATA = "data"
    CODE = "code"
    MONGODB = "MongoDB"
    MLFLOW = "MLflow"
    KUBERNETES = "Kubernetes"
    STORAGE = "storage"
    REFUSED = "refused request"
    KILLED = "killed"


UNDECIDED: Final = frozenset({Outcome.BROKEN, Outcome.REFUSED})
"""Outcomes of runs that did not do their work: they settle no week, and what they read is not learned."""

ROLLED_BACK: Final = "rolled_back"
"""What a rollback records as its outcome. It is no outcome of a partition's run."""

HELD_BY: Final = "held by"
"""How the reason of a held candidate begins if the gate said no. Otherwise the reason itself says what to do."""

OUTCOME_TAG: Final = "nhm/outcome"
HELD_BY_TAG: Final = "nhm/held_by"
HELD_AS_TAG: Final = "nhm/held_as"
"""`below` or `uncertain` on a run that held its candidate; see `HeldAs`."""
BELOW_IN_A_ROW_TAG: Final = "nhm/below_in_a_row"
"""How many candidates of the specialist were held as `below` one after another, this one included."""
BROKEN_BY_TAG: Final = "nhm/broken_by"
REASON_TAG: Final = "nhm/reason"
VERSION_TAG: Final = "nhm/version"
"""The version of the model that the run decided about, or that a rollback put back."""
TRANSIENT_TAG: Final = "nhm/transient"
"""`true` on a run that broke because a service was down. It is started over; see `nhm_assets/runs/restarts.py`."""

SPECIALIST_TAG: Final = "nhm/specialist"
"""On a rollback. Retrainings carry Dagster's own tag of the partition, by which queued runs wait for each other."""

_LONGEST_REASON: Final = 1000
"""PostgreSQL indexes tags and refuses those of more than about 2,700 bytes."""


def how_held(held_as: str | None, *, by_gate: bool) -> str:
    """How a candidate is held, as people read it behind `held`; empty if nobody said.

    Args:
        held_as: see `HeldAs`.
        by_gate: false if a person, a deleted file or an A/B test holds it.
    """
    if held_as == HeldAs.UNCERTAIN and not by_gate:
        return "an A/B test runs"
    return HeldAs(held_as).in_words if held_as else ""


def outcome_line(subject: str, outcome: str, reason: str) -> str:
    """One line for people. The reason of a gate that said no names the outcome itself."""
    if outcome == Outcome.HELD and reason.startswith(HELD_BY):
        return f"{subject}: {reason}"
    return f"{subject} ({outcome}): {reason}" if reason else f"{subject}: {outcome}"


def decided_tags(
    outcome: Outcome,
    reason: str,
    *,
    held_by: Iterable[str] = (),
    held_as: HeldAs | None = None,
    below_in_a_row: int = 0,
    version: str = "",
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """The tags of a run that decided about a candidate, or that there is none.

    A retried run inherits the tags of the run before, and no tag can be removed. So a tag that says nothing about this
    run is emptied if it was inherited, and left out otherwise: the UI shows empty tags, too.

    Args:
        outcome: of the run.
        reason: of the outcome.
        held_by: names of the failed gate checks.
        held_as: what the rows say of a held candidate.
        below_in_a_row: see `BELOW_IN_A_ROW_TAG`.
        version: see `VERSION_TAG`.
        inherited: the tags that the run has.
    """
    tags = {
        OUTCOME_TAG: str(outcome),
        REASON_TAG: shortened(reason),
        HELD_BY_TAG: ",".join(held_by),
        HELD_AS_TAG: str(held_as or ""),
        BELOW_IN_A_ROW_TAG: str(below_in_a_row or ""),
        VERSION_TAG: version,
        BROKEN_BY_TAG: "",
        TRANSIENT_TAG: "",
    }
    return {name: value for name, value in tags.items() if value or inherited.get(name)}


def broken_tags(by: BrokenBy, reason: str, *, transient: bool = False) -> dict[str, str]:
    """The tags of a run that could not do its work, or was refused."""
    outcome = Outcome.REFUSED if by is BrokenBy.REFUSED else Outcome.BROKEN
    return {
        OUTCOME_TAG: str(outcome),
        BROKEN_BY_TAG: str(by),
        REASON_TAG: shortened(reason),
        # Always set, because a retry inherits the tags of the run before.
        TRANSIENT_TAG: str(transient).lower(),
    }


def shortened(reason: str) -> str:
    """A reason that is short enough for a tag. It loses its end, where the logs of pods are."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."


GATE_CHECKS: Final = (
    "precision_threshold",
    "recall_threshold",
    "f1_threshold",
    "not_worse_than_production",
    "beats_baseline",
    "enough_evidence",
    "data_source_allowed",
    "thresholds_on_folds",
    "not_worse_on_folds",
    "not_worse_than_reference",
)
"""The checks on `evaluation_report` that decide about a promotion. If any one fails, the candidate is held."""

DATASET_CHECKS: Final = ("schema_conforms", "no_leakage")
VERSION_CHECKS: Final = (
    "fits_into_pods",
    "signature_matches_features",
    "loads_as_pyfunc",
    "sklearn_compatible",
    "serves_as_specialists_read_it",
)
"""The checks on `feedback_dataset` and on `trained_model` that stop a run. Promotion asks for their verdicts, too."""

REPORT_DIGEST: Final = "report_digest"
"""Metadata of a gate check that names the report it judged."""

CHECKED_DATA: Final = "data_version"
CHECKED_VERSION: Final = "version"
CHECKED_RUN: Final = "mlflow_run_id"
"""Metadata of a check that names the dataset it judged, or the version and the MLflow run that registered it."""

HELD_AS: Final = "held_as"
HELD_BECAUSE: Final = "held_because"
"""Metadata of a failed gate check, about the candidate as a whole: `below` or `uncertain`, and the sentence why."""
