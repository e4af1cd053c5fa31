"""How a partition's run ends, and the names under which that is recorded."""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What became of a partition's candidate."""

    PROMOTED = "promoted"
    HELD = "held"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"
    BROKEN = "broken"


class BrokenBy(StrEnum):
    """What a broken run could not go on without."""

    DATA = "data"
    CODE = "code"
    MONGODB = "MongoDB"
    MLFLOW = "MLflow"
    KUBERNETES = "Kubernetes"
    STORAGE = "storage"
    REFUSED = "refused request"
    KILLED = "killed"


OUTCOME_TAG: Final = "nhm/outcome"
HELD_BY_TAG: Final = "nhm/held_by"
BROKEN_BY_TAG: Final = "nhm/broken_by"
REASON_TAG: Final = "nhm/reason"

_LONGEST_REASON: Final = 1000
"""PostgreSQL indexes tags, and takes none of more than some 2,700 bytes."""


def broken_tags(by: BrokenBy, reason: str) -> dict[str, str]:
    """The tags of a run that could not do its work."""
    return {OUTCOME_TAG: str(Outcome.BROKEN), BROKEN_BY_TAG: str(by), REASON_TAG: shortened(reason)}


def shortened(reason: str) -> str:
    """A reason that is short enough for a tag; its end, where the logs of pods stand, is what goes."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."


GATE_CHECKS: Final = (
    "precision_threshold",
    "recall_threshold",
    "f1_threshold",
    "not_worse_than_production",
    "beats_baseline",
    "enough_evidence",
    "data_source_allowed",
)
"""Checks on `evaluation_report` that decide a promotion, each by itself."""

REPORT_DIGEST: Final = "report_digest"
"""Metadata of a gate check that names the report it judged."""
