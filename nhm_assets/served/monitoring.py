"""The document in `drift_monitoring` by which other programs see drift, one per week and specialist.

Others start a retraining of their own where they find drift without the mark `retraining_triggered`. Ours always carry
it: the platform's own sensor decides.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.drift_records import SOME, Shift
from nhm_assets.domain.served_records import ServedQuality

if TYPE_CHECKING:
    from pymongo.database import Database

DRIFT_MONITORING: Final = "drift_monitoring"
_WRITE_S: Final = 5.0


def write_monitoring(
    database: "Database[dict[str, Any]]", quality: ServedQuality, *, warn: Callable[[str], None]
) -> None:
    """Store the document of a week; a re-run replaces it. Nothing is stored where no features were compared."""
    import pymongo
    from pymongo.errors import PyMongoError

    document = monitoring_document(quality)
    if document is None:
        return
    try:
        with pymongo.timeout(_WRITE_S):
            database[DRIFT_MONITORING].replace_one({"_id": document["_id"]}, document, upsert=True)
    except PyMongoError as error:
        warn(f"the drift of {quality.specialist} {quality.week} was not written to {DRIFT_MONITORING}: {error}")


def monitoring_document(quality: ServedQuality) -> dict[str, Any] | None:
    """The document of a week; None if no features were compared."""
    drift = quality.drift
    if drift is None or not drift.of_features:
        return None
    moved = drift.moved
    summary = {
        "week": quality.week,
        "model_version": quality.version,
        "plans": drift.plans,
        "important_features": drift.important,
        "much_drifted_important_features": [shift.name for shift in drift.much_and_important],
        "features": _psi(drift.of_features),
        "answers": _psi(drift.of_answers),
        "labels": _psi(drift.of_labels),
    }
    return {
        "_id": monitoring_id(quality.specialist, quality.week),
        "type": "drift_detection",
        "specialist_type": quality.specialist,
        "timestamp": quality.end,
        "drift_detected": bool(moved),
        "drift_score": drift.of_features[0].psi,
        "drifted_features": [shift.name for shift in moved],
        "threshold_psi": SOME,
        "window_hours": (quality.end - quality.start).total_seconds() / 3600,
        "report_summary": summary,
        "retraining_triggered": True,
        "retraining_triggered_at": quality.end,
    }


def monitoring_id(specialist: str, week: str) -> str:
    """`_id` of the document of a week and specialist."""
    return f"nhm:{specialist}:{week}"


def _psi(shifts: list[Shift]) -> dict[str, float]:
    return {shift.name: shift.psi for shift in shifts}
