"""What MongoDB says: feedback that waits, moves of the Production pointer, rollouts, sizes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from nhm_assets.domain.dataset_words import QUARANTINE
from nhm_assets.domain.partitions import Partition, Window, running_week
from nhm_assets.domain.provenance import left_out
from nhm_assets.domain.specialists import all_specialists, configured_specialist
from nhm_assets.domain.times import count_feedback_of
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.metric import Readings
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.foreign_moves import unsettled_moves
from nhm_assets.registry.promotion_lock import open_locks
from nhm_assets.registry.rollout_lock import SLOTS, newest_rollouts
from nhm_assets.runs.triggers import TRIGGERS
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

LearnedUntil = Callable[[], dict[str, float] | None]
"""Specialist -> end of the window it last learned from (seconds since 1970); None if Dagster does not say."""
_ROLLOUTS: Final = 10
"""Newest rollouts per specialist that are read."""


class OpensDatabase(Protocol):
    """Opens the database for as long as somebody reads it, with the errors of `Mongo.database`."""

    def database(self) -> "AbstractContextManager[Database[Document]]":
        """The database."""


class MongoSource:
    """Reads MongoDB. It writes nothing."""

    def __init__(self, mongo: OpensDatabase, settings: Settings, learned_until: LearnedUntil) -> None:
        self._mongo = mongo
        self._settings = settings
        self._learned_until = learned_until

    def refresh(self) -> Readings:
        """The values now.

        Raises:
            ServiceError: MongoDB does not answer or cannot be used.
        """
        readings = Readings()
        with self._mongo.database() as database:
            self._put_feedback(readings, database)
            _put_moves(readings, database[AUDIT_LOG])
            _put_rollouts(readings, database[AUDIT_LOG])
            _put_sizes(readings, database, self._settings)
        return readings

    def _put_feedback(self, readings: Readings, database: "Database[Document]") -> None:
        learned = self._learned_until()
        if learned is None:
            return
        now, without = self._settings.now(), left_out(self._settings.selection)
        windows: dict[str, Window] = {}
        for specialist in all_specialists():
            week = Partition(running_week(now), specialist)
            window = week.window(days=self._settings.feedback_window_days, now=now)
            start = datetime.fromtimestamp(learned[specialist], UTC) if specialist in learned else window.start
            windows[str(specialist)] = Window(start, now)
        feedback = database[self._settings.feedback_collection]
        for name, waiting in count_feedback_of(feedback, windows, without=without).items():
            readings.put(own_metrics.FEEDBACK_WAITING, waiting, name)
            readings.put(field_metrics.FEEDBACK_COUNT, waiting, name)


def _put_moves(readings: Readings, log: "Collection[Document]") -> None:
    models = {specialist.registered_model: specialist for specialist in all_specialists()}
    foreign = [move["model"] for move in unsettled_moves(log, list(models))]
    readings.put_counts(
        own_metrics.FOREIGN_MOVES, {str(specialist): foreign.count(model) for model, specialist in models.items()}
    )
    for lock in open_locks(log, [*models, *SLOTS]):
        specialist = models.get(lock["model"]) or lock.get("specialist", "unknown")
        readings.put(own_metrics.OPEN_MOVE, _seconds(lock.get("at")), specialist, lock["kind"])


def _put_rollouts(readings: Readings, log: "Collection[Document]") -> None:
    seen: set[str] = set()
    for rollout in newest_rollouts(log, _ROLLOUTS * len(all_specialists())):
        specialist = rollout.get("specialist", "")
        if specialist in seen or configured_specialist(specialist) is None:
            continue
        seen.add(specialist)
        readings.put(own_metrics.ROLLOUT, 1.0, specialist, rollout.get("version"), rollout.get("result"))
        readings.put(own_metrics.ROLLOUT_TIME, _seconds(rollout["released_at"]), specialist)
        readings.put_counts(own_metrics.ROLLOUT_PODS, rollout.get("pods") or {}, specialist)


def _put_sizes(readings: Readings, database: "Database[Document]", settings: Settings) -> None:
    from pymongo.errors import OperationFailure

    for name in (settings.features_collection, AUDIT_LOG, TRIGGERS, QUARANTINE):
        try:
            size = database.command("collStats", name)
        except OperationFailure:
            # A view, or the user may not ask: there is no size to tell.
            continue
        readings.put(own_metrics.STORAGE, size.get("storageSize", 0) + size.get("totalIndexSize", 0), name)


def _seconds(moment: object) -> float | None:
    return moment.timestamp() if isinstance(moment, datetime) else None
