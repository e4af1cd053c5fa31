"""Promotions and rollbacks, in this process or in another one that can be killed at any call to a service."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from nhm_assets.domain.errors import ChampionChanged
from nhm_assets.promotion.protocol import Decision, Request, promote
from nhm_assets.registry.rollback import Rollback, RollbackRequest, roll_back
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import PRODUCTION
from tests.support.documents import NOW, WEEK_END
from tests.support.registry import MODEL, Registry

EARLIER = WEEK_END - timedelta(days=7)
LATER = WEEK_END + timedelta(days=7)
REASON = "it answers nonsense"
_PRELOADED = [
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "tests.support.promotions",
]
"""Imports for the SQLite file of MLflow take more than a second; the fork server does them once."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Place:
    """Where a promotion takes place, in values that can be passed to another process."""

    mlflow_home: Path
    mongodb_uri: str
    database: str


class _KilledAt:
    """Passes every call on to `target`, but kills this process instead of call number `number`."""

    def __init__(self, target: Any, calls: list[int], number: int) -> None:
        self._target = target
        self._calls = calls
        self._number = number

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            # Renewals of the lease come when time has passed, from a thread of their own.
            if threading.current_thread() is threading.main_thread():
                if self._calls[0] == self._number:
                    os.kill(os.getpid(), signal.SIGKILL)
                self._calls[0] += 1
            return attribute(*args, **kwargs)

        return call


def promote_here(registry: Registry, log: Any, version: str, window_end: datetime, **options: Any) -> Decision:
    """Promote a version in this process."""
    return _promote(registry.client(), log, version, window_end, **options)


def promote_compared_with(
    registry: Registry, log: Any, version: str, window_end: datetime, compared_with: str | None
) -> Decision:
    """Promote a version in this process, after a gate that compared it with this one."""
    return _promote_once(registry.client(), log, version, window_end, compared_with, wait_s=10)


def roll_back_here(registry: Registry, log: Any, to: str | None = None, **options: Any) -> Rollback:
    """Roll back in this process."""
    return _roll_back(registry.client(), log, to, **options)


def start_promotion(place: Place, version: str, window_end: datetime, *, killed_at: int = -1) -> BaseProcess:
    """Promote a version in another process, which dies instead of making call number `killed_at`."""
    return _start(_promote, place, killed_at, version, window_end)


def start_rollback(place: Place, to: str | None = None, *, killed_at: int = -1) -> BaseProcess:
    """Roll back in another process, which dies instead of making call number `killed_at`."""
    return _start(_roll_back, place, killed_at, to)


def let_leases_run_out(log: Any) -> int:
    """Let the leases of all open locks expire; returns their number."""
    now = log.database.command("hello")["localTime"]
    return int(log.update_many({"state": "open"}, {"$set": {"lease_until": now - timedelta(seconds=1)}}).matched_count)


def _start(action: Callable[..., Any], place: Place, killed_at: int, *arguments: Any) -> BaseProcess:
    process = processes.Process(target=_run, args=(action, place, killed_at, arguments))
    process.start()
    return process


def _run(action: Callable[..., Any], place: Place, killed_at: int, arguments: tuple[Any, ...]) -> None:
    calls = [0]
    client: Any = _KilledAt(Registry(place.mlflow_home).client(), calls, killed_at)
    with MongoClient(place.mongodb_uri, tz_aware=True) as mongo:
        log: Any = _KilledAt(mongo[place.database]["model_audit_log"], calls, killed_at)
        action(client, log, *arguments, wait_s=60)


def _promote(
    client: Any, log: Any, version: str, window_end: datetime, *, wait_s: float = 10, **options: Any
) -> Decision:
    """Promote as a run does that is started over, and so compares again, whenever the champion has changed."""
    while True:
        try:
            return _promote_once(client, log, version, window_end, _champion(client), wait_s=wait_s, **options)
        except ChampionChanged:
            continue


def _promote_once(
    client: Any, log: Any, version: str, window_end: datetime, compared_with: str | None, **options: Any
) -> Decision:
    fields = {"actor": "a person", "reason": "every gate check passed", "dagster_run_id": str(os.getpid())}
    request = Request(MODEL, version, window_end, compared_with, fields)
    return promote(client, log, request, now=NOW, **options)


def _champion(client: Any) -> str | None:
    stages = {str(version.version): version.current_stage for version in all_versions(client, MODEL)}
    return next((number for number, stage in stages.items() if stage == PRODUCTION), None)


def _roll_back(
    client: Any,
    log: Any,
    to: str | None,
    *,
    wait_s: float = 10,
    reason: str = REASON,
    from_version: str | None = None,
    restarts: bool = False,
    **options: Any,
) -> Rollback:
    fields = {"actor": "a person", "dagster_run_id": str(os.getpid())}
    request = RollbackRequest(MODEL, reason, to, from_version, fields, restarts=restarts)
    return roll_back(client, log, request, now=NOW, wait_s=wait_s, **options)
