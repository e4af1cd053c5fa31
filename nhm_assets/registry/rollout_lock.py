"""The lock that lets only one specialist restart at a time, or as many as may; its document is the rollout's
entry in the audit log.

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
MOST: Final = 10
"""The highest ROLLOUT_PARALLEL."""
SLOTS: Final = (LOCK, *(f"{LOCK}_{number}" for number in range(2, MOST + 1)))
"""The names of the locks, in order: as many as there may be rollouts at once."""
KIND: Final = "rollout"


@contextmanager
def rollout_lock(
    audit_log: "Collection[Document]",
    fields: Mapping[str, object],
    *,
    now: datetime,
    wait_s: float,
    parallel: int = 1,
    lease_s: float = LEASE_S,
) -> Iterator[tuple[Callable[[], None], Document]]:
    """Hold the lock, as soon as fewer than `parallel` other specialists are being rolled out, and not this one.

    Yields a function that raises `LockLost` if another process may hold the lock by now, and a dictionary for what the
    audit log should record as the outcome. A process that shows no sign of life for `lease_s` seconds loses the lock.

    Raises:
        RolloutRefused: another rollout does not end within `wait_s` seconds.
    """

    def close_interrupted(dead: PromotionLock) -> None:
        # The cluster completes what a dead process restarted, and the retry of that run waits for it.
        dead.release("interrupted", result="interrupted", finished_at=now)

    fields = {**fields, "kind": KIND, "at": now}
    slots = SLOTS[:parallel]
    waiting = hold_lock(audit_log, slots, fields, recover=close_interrupted, wait_s=wait_s, lease_s=lease_s)
    with ExitStack() as stack:
        try:
            if parallel > 1:
                stack.enter_context(_turn(audit_log, fields, wait_s, lease_s))
            lock = stack.enter_context(waiting)
        except RegistryError:
            raise _refused(audit_log, wait_s, parallel) from None
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


@contextmanager
def _turn(
    audit_log: "Collection[Document]", fields: Mapping[str, object], wait_s: float, lease_s: float
) -> Iterator[None]:
    """One slot for all keeps two rollouts of one specialist apart. Where there are several, this does."""
    name = f"{LOCK}_of_{fields.get('registered_model', fields.get('specialist'))}"
    entry = {"kind": "rollout_turn", "at": fields["at"]}
    turn = hold_lock(audit_log, name, entry, recover=PromotionLock.discard, wait_s=wait_s, lease_s=lease_s)
    with turn as held:
        try:
            yield
        finally:
            held.discard()


def _refused(audit_log: "Collection[Document]", wait_s: float, parallel: int) -> RolloutRefused:
    other = audit_log.find_one({"model": {"$in": SLOTS}, "state": OPEN}) or {}
    most = "one restarts" if parallel == 1 else f"{parallel} restart"
    return RolloutRefused(
        f"another specialist ({other.get('specialist', 'unknown')}) has been in a rollout since"
        f" {other.get('at', 'unknown')} (Dagster run {other.get('dagster_run_id', 'unknown')}), and only {most} at a"
        f" time. Waited {wait_s:.0f} s. Wait until that run ends, then run this again"
    )


def newest_rollouts(audit_log: "Collection[Document]", count: int) -> list[Document]:
    """The entries of the newest rollouts that have ended, newest first."""
    ended = {"model": {"$in": SLOTS}, "released_at": {"$exists": True}}
    return list(audit_log.find(ended, sort=[("released_at", -1)], limit=count))
