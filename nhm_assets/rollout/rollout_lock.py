"""One specialist's turn to be restarted: a lock in MongoDB whose document is the rollout's entry in the audit log."""

import time
from collections.abc import Iterator, Mapping
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
"""What the lock is on: all specialists together, where a promotion locks a single model."""
KIND: Final = "rollout"


class Turn:
    """The turn that this process has; what is put into `outcome` goes into the audit log."""

    def __init__(self, intent: PromotionLock) -> None:
        self._intent = intent
        self.outcome: Document = {}

    def require(self) -> None:
        """Raise where the turn was lost: nothing may be restarted any more.

        Raises:
            LockLost: another process may have its turn by now.
        """
        self._intent.assert_lease()


@contextmanager
def turn(
    log: "Collection[Document]",
    fields: Mapping[str, object],
    *,
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Iterator[Turn]:
    """Wait until no other specialist is being restarted, and keep the others waiting meanwhile.

    Args:
        log: the audit log.
        fields: what it is to say of this rollout.
        now: time for the log.
        wait_s: seconds to wait for the others.
        lease_s: seconds after which a process that shows no sign of life is taken for dead.

    Raises:
        RolloutRefused: another rollout does not end in time.
    """

    def close_interrupted(abandoned: PromotionLock) -> None:
        """What it restarted is finished by the cluster, and seen to its end by a re-run."""
        abandoned.release("interrupted", result="interrupted", finished_at=now)

    with ExitStack() as stack:
        holding = hold_lock(
            log, LOCK, {**fields, "kind": KIND, "at": now}, recover=close_interrupted, wait_s=wait_s, lease_s=lease_s
        )
        try:
            intent = stack.enter_context(holding)
        except RegistryError:
            raise RolloutRefused(_other(log, wait_s)) from None
        mine, started = Turn(intent), time.monotonic()
        try:
            yield mine
        except (NhmError, ServiceError) as error:
            seconds = round(time.monotonic() - started, 3)
            intent.release("failed", result="failed", reason=str(error), seconds=seconds, finished_at=now)
            raise
        intent.release("done", **mine.outcome, seconds=round(time.monotonic() - started, 3), finished_at=now)


def _other(log: "Collection[Document]", wait_s: float) -> str:
    other = log.find_one({"model": LOCK, "state": OPEN}) or {}
    return (
        f"another specialist ({other.get('specialist')}) has been in a rollout since {other.get('at')} (Dagster run"
        f" {other.get('dagster_run_id')}), and never two are restarted at once; waited {wait_s:.0f} s. Let it end, then"
        " run this again"
    )
