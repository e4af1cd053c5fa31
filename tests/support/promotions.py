"""Promotions in processes of their own, which can be killed at any call that leaves the process."""

import multiprocessing
import os
import signal
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.documents import NOW

LEASE_S = 1.0
_PRELOADED = ["mlflow", "pymongo", "nhm_assets.promotion.protocol", "tests.support.registry"]

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Place:
    """Where a promotion takes place, in words that another process understands."""

    mlflow_home: Path
    mongodb_uri: str
    database: str


class _KilledAt:
    """Passes every call on to `target`, but kills this process instead of making the one of that number."""

    def __init__(self, target: Any, calls: list[int], number: int) -> None:
        self._target = target
        self._calls = calls
        self._number = number

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._calls[0] == self._number:
                os.kill(os.getpid(), signal.SIGKILL)
            self._calls[0] += 1
            return found(*args, **kwargs)

        return call


def start_promotion(place: Place, version: str, window_end: datetime, *, killed_at: int = -1) -> BaseProcess:
    """Promote a version in another process, which dies instead of making call number `killed_at`."""
    process = processes.Process(target=_promote, args=(place, version, window_end, killed_at))
    process.start()
    return process


def _promote(place: Place, version: str, window_end: datetime, killed_at: int) -> None:
    from pymongo import MongoClient

    from nhm_assets.promotion.protocol import Request, promote
    from tests.support.registry import MODEL, Registry

    calls = [0]
    client: Any = _KilledAt(Registry(place.mlflow_home).client(), calls, killed_at)
    with MongoClient(place.mongodb_uri, tz_aware=True) as mongo:
        log: Any = _KilledAt(mongo[place.database]["model_audit_log"], calls, killed_at)
        request = Request(MODEL, version, window_end, {"dagster_run_id": str(os.getpid())})
        promote(client, log, request, now=NOW, wait_s=60, lease_s=LEASE_S)
