"""The sensor that compares the model registry with the audit log, and reports moves of the champion by others."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import DefaultSensorStatus, ResourceParam, SensorEvaluationContext, SkipReason, sensor

from nhm_assets.domain.dagster_names import REGISTRY_SENSOR
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.promotion.production_models import show_production
from nhm_assets.promotion.rollback_events import show_rollback, unshown_rollbacks
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.foreign_moves import (
    Pointer,
    index_unsettled_moves,
    pointers_of,
    record_foreign_move,
    remedy,
    restore,
    unsettled_moves,
)
from nhm_assets.registry.recovery import last_move
from nhm_assets.runs.ticks import is_preview
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mlflow import Mlflow
from resources.mongo import Mongo
from resources.notifiers import Notification, Notifier

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

    from resources.mlflow_reader import MlflowReader

Document = dict[str, Any]

_ACTOR: Final = f"dagster sensor {REGISTRY_SENSOR}"
_NOTIFY_FOR: Final = timedelta(hours=1)
"""After a move was found. A receiver that is down for longer misses the message."""
_CONSISTENT: Final = "the registry shows what the audit log recorded"
_WAIT_S: Final = 5.0
"""A tick must be short: a promotion that runs longer is waited for by the next tick."""


@sensor(
    name=REGISTRY_SENSOR,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Compares stage, alias and audit log of every specialist's champion. If somebody else has moved it, this is"
        " recorded in `model_audit_log` (kind `foreign_move`) and sent once to the receivers in NOTIFY_URLS. The"
        " commands `nhm adopt` and `nhm rollback` settle it; with RESTORE_FOREIGN_MOVES the champion is moved back at"
        " once. Rollbacks by a failed rollout are shown on `promoted_version`. `production_models` is"
        " brought up to date. It starts no runs."
    ),
)
def registry_sensor(
    context: SensorEvaluationContext,
    settings: ResourceParam[Settings],
    mongo: ResourceParam[Mongo],
    mlflow: ResourceParam[Mlflow],
    notifiers: ResourceParam[Sequence[Notifier]],
) -> SkipReason:
    """Look at every specialist's champion."""
    found = []
    try:
        with mongo.database() as database, mlflow.client() as client, mlflow.reading() as reader:
            log = database[AUDIT_LOG]
            if is_preview(context):
                return SkipReason(_only_looked(reader, log))
            index_unsettled_moves(log)
            for specialist in _suspects(reader, log):
                move = record_foreign_move(
                    client, log, specialist.registered_model, {"specialist": str(specialist)}, now=settings.now()
                )
                if move is None:
                    continue
                found.append(f"{move['reason']}. {_settle(client, log, move, settings)}")
                for fault in _notify(log, move, found[-1], notifiers, settings.now()):
                    context.log.warning("%s: not sent. %s", move["model"], fault)
            for rollback in unshown_rollbacks(log, _models()):
                show_rollback(context.instance, client, log, rollback)
            moves = _newest_moves(log)
    except ServiceError as error:
        # The next tick looks again, and runs report the service.
        return SkipReason(f"the registry was not compared: {error}")
    if moves != context.cursor and show_production(context.instance, mongo, mlflow, settings, warn=context.log.warning):
        context.update_cursor(moves)
    return SkipReason("; ".join(found) or _CONSISTENT)


def _models() -> list[str]:
    return [specialist.registered_model for specialist in all_specialists()]


def _suspects(reader: "MlflowReader", log: "Collection[Document]") -> list[Specialist]:
    """The specialists whose champion others may have moved, or have moved until now."""
    moved = {pointer.model for pointer in pointers_of(reader, log, _models()) if pointer.is_foreign}
    moved |= {move["model"] for move in unsettled_moves(log, _models())}
    return [specialist for specialist in all_specialists() if specialist.registered_model in moved]


def _newest_moves(log: "Collection[Document]") -> str:
    """A digest of the newest move of every specialist, of whatever kind, and of those by others."""
    ours = [(last_move(log, model) or {}).get("_id") for model in _models()]
    others = sorted(str(move["_id"]) for move in unsettled_moves(log, _models()))
    return hashlib.blake2b(repr((ours, others)).encode(), digest_size=8).hexdigest()


def _only_looked(reader: "MlflowReader", log: "Collection[Document]") -> str:
    """What a preview says. It records, sends and moves nothing."""
    pointers = pointers_of(reader, log, _models())
    return "; ".join(pointer.sentence for pointer in pointers if pointer.is_foreign) or _CONSISTENT


def _settle(client: "MlflowClient", log: "Collection[Document]", move: Document, settings: Settings) -> str:
    """Move the champion back if that is configured; returns what was done, or what a person can do."""
    pointer = Pointer(move["model"], tuple(move["stage"]), move["alias"], move["from_version"])
    what_to_do = remedy(client, move["specialist"], pointer)
    if not settings.restore_foreign_moves:
        return what_to_do
    fields = {"specialist": move["specialist"], "actor": _ACTOR, "origin": "sensor"}
    try:
        restore(client, log, move["model"], fields=fields, now=settings.now(), wait_s=_WAIT_S)
    except RegistryError as error:
        return f"It was not moved back: {error}. {what_to_do}"
    return f"Version {move['from_version']} was moved back into Production (RESTORE_FOREIGN_MOVES)"


def _notify(
    log: "Collection[Document]", move: Document, text: str, notifiers: Sequence[Notifier], now: datetime
) -> list[str]:
    """Send the move to the receivers that have not taken it yet; returns why some did not."""
    taken = set(move.get("notified", ()))
    missing = [notifier for notifier in notifiers if notifier.name not in taken]
    if not missing or now - move["at"] > _NOTIFY_FOR:
        return []
    answers = {notifier.name: notifier.send(_notification(move, text)) for notifier in missing}
    taken |= {name for name, fault in answers.items() if fault is None}
    log.update_one({"_id": move["_id"]}, {"$set": {"notified": sorted(taken)}})
    return [fault for fault in answers.values() if fault]


def _notification(move: Document, text: str) -> Notification:
    shown = ("specialist", "model", "from_version", "version", "stage", "alias", "registered_by", "reason")
    fields: Mapping[str, Any] = {name: move.get(name) for name in shown}
    by = f" Version {move['version']} was registered by {move['registered_by']}." if move.get("registered_by") else ""
    title = f"{move['specialist']}: somebody else moved the champion"
    return Notification(title, f"{text}.{by}", "warning", {"foreign_move": fields})
