"""The lock of a registered model: one open document in the audit log, with a lease.

MLflow has neither transactions nor compare-and-swap. So a promotion first records in the document of its lock
what it intends to do. A unique index allows one open lock per model, and its owner renews the lease while it
lives. A process that finds an open lock with an expired lease takes it over, and finishes or undoes the
interrupted work first. Leases use the clock of the MongoDB server, so clocks of machines need not agree.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import RegistryError
from resources.errors import LockLost

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]
Recover = Callable[["PromotionLock"], None]

LEASE_S: Final = 15.0
_RENEWALS_PER_LEASE: Final = 4
_POLL_S: Final = 0.25
_LOCK_INDEX: Final = "one_open_intent_per_model"
_MOVES_INDEX: Final = "newest_move_per_model"
OPEN: Final = "open"


class PromotionLock:
    """The lock of one model, held by this process. Its document becomes the entry in the audit log.

    Attributes:
        log: the audit log.
        document: as this process wrote it last.
    """

    def __init__(self, log: "Collection[Document]", document: Document, lease_s: float, *, since: float) -> None:
        """`since`: `time.monotonic()` before the lock was requested. The server's lease begins later, never earlier."""
        self.log = log
        self._lease_s = lease_s
        self._valid_until = since + lease_s
        self.document = document

    @property
    def id(self) -> str:
        """`_id` of the document in the audit log."""
        return str(self.document["_id"])

    def assert_lease(self) -> None:
        """Check that this process still holds the lock; call it before every write.

        Raises:
            LockLost: the lease has expired, so another process may have taken the lock over.
        """
        if time.monotonic() >= self._valid_until:
            raise self._lost()

    def _lost(self) -> LockLost:
        return LockLost(
            f"lost the lock on {self.document['model']}: MongoDB did not answer within {self._lease_s:.0f} s, or this"
            " process was suspended. Run this again"
        )

    def renew(self) -> None:
        """Extend the lease."""
        started = time.monotonic()
        result = self.log.update_one(
            {"_id": self.id, "state": OPEN, "owner": self.document["owner"]},
            [{"$set": {"lease_until": _lease_end(self._lease_s)}}],
        )
        if result.matched_count:
            self._valid_until = started + self._lease_s

    def update(self, **fields: object) -> None:
        """Record in the document what is about to be done.

        Raises:
            LockLost: another process has taken the lock over, so nothing is recorded.
        """
        self.assert_lease()
        result = self.log.update_one({"_id": self.id, "owner": self.document["owner"], "state": OPEN}, {"$set": fields})
        if not result.matched_count:
            raise self._lost()
        self.document |= fields

    def release(self, state: str, **fields: object) -> None:
        """Release the lock; its document stays in the audit log, with the result.

        `released_at` orders the entries of a model. It is the time of the server, so it follows one clock.
        """
        self.log.update_one(
            {"_id": self.id, "owner": self.document["owner"], "state": OPEN},
            {
                "$set": {"state": state, **fields},
                "$unset": {"lease_until": 1, "owner": 1},
                "$currentDate": {"released_at": True},
            },
        )

    def discard(self) -> None:
        """Release the lock and delete its document, because nothing was done."""
        self.log.delete_one({"_id": self.id, "owner": self.document["owner"], "state": OPEN})


@contextmanager
def hold_lock(
    log: "Collection[Document]",
    model: str | Sequence[str],
    fields: Mapping[str, object],
    *,
    recover: Recover,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Iterator[PromotionLock]:
    """Acquire the lock of a model as soon as it is free, and renew its lease until the body ends.

    If the body calls neither `release` nor `discard`, the lock stays open and the next owner recovers it.

    Args:
        log: the audit log.
        model: name of the registered model; of several names, the first one whose lock is free.
        fields: of the document, with its `kind`.
        recover: finishes or undoes the work of a lock that its owner left open, and releases it.
        wait_s: seconds to wait while another process holds the lock.
        lease_s: seconds without a renewal after which the owner counts as dead.

    Raises:
        RegistryError: another process did not release the lock in time.
    """
    log.create_index("model", name=_LOCK_INDEX, unique=True, partialFilterExpression={"state": OPEN})
    log.create_index([("model", 1), ("released_at", -1)], name=_MOVES_INDEX)
    names = (model,) if isinstance(model, str) else tuple(model)
    deadline = time.monotonic() + wait_s
    while (lock := _first(_try_acquire(log, name, fields, lease_s) for name in names)) is None:
        if expired := _first(_take_over_expired(log, name, lease_s) for name in names):
            with _renewed(expired, lease_s):
                recover(expired)
        elif time.monotonic() > deadline:
            other = log.find_one({"model": {"$in": names}, "state": OPEN}) or {}
            raise RegistryError(
                f"another {other.get('kind', 'change')} of {names[0]} has been running since {other.get('at')} (run"
                f" {other.get('dagster_run_id')}): wait until it ends, then run this again"
            )
        else:
            time.sleep(_POLL_S)
    with _renewed(lock, lease_s):
        yield lock


def _first(locks: Iterable[PromotionLock | None]) -> PromotionLock | None:
    return next((lock for lock in locks if lock), None)


def open_locks(log: "Collection[Document]", models: Sequence[str]) -> list[Document]:
    """The documents of the locks that are held now, or that a dead process has left open."""
    return list(log.find({"state": OPEN, "model": {"$in": list(models)}}))


def finish_abandoned_work(
    log: "Collection[Document]", model: str, recover: Recover, *, lease_s: float = LEASE_S
) -> None:
    """Recover the work of a lock that a dead process has left open; if none is open, do nothing.

    Whether the owner is dead shows at the end of its lease, so this waits at most that long. A living owner finishes
    its work itself.
    """
    deadline = time.monotonic() + lease_s + _POLL_S
    while log.find_one({"model": model, "state": OPEN}, {"_id": 1}):
        if expired := _take_over_expired(log, model, lease_s):
            with _renewed(expired, lease_s):
                recover(expired)
        elif time.monotonic() > deadline:
            return
        else:
            time.sleep(_POLL_S)


def _try_acquire(
    log: "Collection[Document]", model: str, fields: Mapping[str, object], lease_s: float
) -> PromotionLock | None:
    from pymongo.errors import DuplicateKeyError

    token = uuid.uuid4().hex
    document = {
        **fields,
        "_id": f"{fields.get('kind', 'intent')}:{model}:{token}",
        "model": model,
        "state": OPEN,
        "owner": token,
    }
    # An update with a pipeline, because an insert cannot use the clock of the server.
    pipeline: list[Document] = [{"$set": {"lease_until": _lease_end(lease_s), **_literals(document)}}]
    since = time.monotonic()
    try:
        log.update_one({"_id": document["_id"]}, pipeline, upsert=True)
    except DuplicateKeyError:
        return None
    return PromotionLock(log, document, lease_s, since=since)


def _take_over_expired(log: "Collection[Document]", model: str, lease_s: float) -> PromotionLock | None:
    from pymongo import ReturnDocument

    token, since = uuid.uuid4().hex, time.monotonic()
    document = log.find_one_and_update(
        {"model": model, "state": OPEN, "$expr": {"$lt": ["$lease_until", "$$NOW"]}},
        [{"$set": {"owner": token, "lease_until": _lease_end(lease_s)}}],
        return_document=ReturnDocument.AFTER,
    )
    return PromotionLock(log, document, lease_s, since=since) if document else None


def _lease_end(lease_s: float) -> Document:
    return {"$add": ["$$NOW", int(lease_s * 1000)]}


def _literals(document: Document) -> Document:
    """Protects values from evaluation in a pipeline, such as a reason that begins with a dollar sign."""
    return {key: {"$literal": value} for key, value in document.items() if key != "_id"}


@contextmanager
def _renewed(lock: PromotionLock, lease_s: float) -> Iterator[None]:
    from pymongo.errors import PyMongoError

    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease_s / _RENEWALS_PER_LEASE):
            try:
                lock.renew()
            except PyMongoError:
                # The next renewal may succeed. If none does, `assert_lease` stops the promotion.
                continue

    thread = threading.Thread(target=renew, name=f"lease of {lock.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
