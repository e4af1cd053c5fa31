"""The lock that lets only one specialist restart at a time; its document is the rollout's entry in the audit log.

A Dagster pool with limit 1 is not enough. Its storage finds a free slot and takes it in two separate statements, so
two steps that start within milliseconds of each other both get it (dagster 1.13.27, on SQLite and on PostgreSQL), and
the slot of a killed process stays taken until a daemon frees it. Two specialists restarting at once would cost the
hive its quorum.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import NhmError, RegistryError, RolloutRefused
from nhm_assets.registry.promotion_lock import LEASE_S, OPEN, PromotionLock, hold_lock
from resources.errors import ServiceError

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

LOCK: Final = "specialist_rollout"
"""One lock for all specialists; a promotion locks a single model."""
KIND: Final = "rollout"


@contextmanager
def rollout_lock(
    audit_log: "Collection[Document]",
    fields: Mapping[str, object],
    *,
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Iterator[tuple[Callable[[], None], Document]]:
    """Hold the lock, as soon as no other specialist is being rolled out.

    Yields a function that raises `LockLost` if another process may hold the lock by now, and a dictionary for what the
    audit log should record as the outcome. A process that shows no sign of life for `lease_s` seconds loses the lock.

    Raises:
        RolloutRefused: another rollout does not end within `wait_s` seconds.
    """

    def close_interrupted(dead: PromotionLock) -> None:
        # The cluster completes what a dead process restarted, and the retry of that run waits for it.
        dead.release("interrupted", result="interrupted", finished_at=now)

    fields = {**fields, "kind": KIND, "at": now}
    waiting = hold_lock(audit_log, LOCK, fields, recover=close_interrupted, wait_s=wait_s, lease_s=lease_s)
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(waiting)
        except RegistryError:
            other = audit_log.find_one({"model": LOCK, "state": OPEN}) or {}
            raise RolloutRefused(
                f"another specialist ({other.get('specialist', 'unknown')}) has been in a rollout since"
                f" {other.get('at', 'unknown')} (Dagster run {other.get('dagster_run_id', 'unknown')}), and only one"
                f" restarts at a time. Waited {wait_s:.0f} s. Wait until that run ends, then run this again"
            ) from None
        started = time.monotonic()
        outcome: Document = {}

        def release(state: str) -> None:
            lock.release(state, **outcome, seconds=round(time.monotonic() - started, 3), finished_at=now)

        try:
            yield lock.assert_lease, outcome
        except (NhmError, ServiceError) as error:
            outcome.update(result="failed", reason=str(error))
            release("failed")
            raise
        release("done")


def newest_rollouts(audit_log: "Collection[Document]", count: int) -> list[Document]:
    """The entries of the newest rollouts that have ended, newest first."""
    ended = {"model": LOCK, "released_at": {"$exists": True}}
    return list(audit_log.find(ended, sort=[("released_at", -1)], limit=count))
