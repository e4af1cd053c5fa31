"""The intent to promote: an open document in the audit log, and at the same time the specialist's lock.

MLflow has neither transactions nor compare-and-swap. So a promotion first writes down what it is about to
do. A unique index lets one intent a model be open, and its owner renews a lease on it while alive. Whoever
finds an open intent whose lease has run out takes it over and finishes or undoes it before anything else.
Leases are kept by the clock of the MongoDB server, so no two machines need to agree on the time.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import RegistryError
from resources.errors import LockLost

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]
Repair = Callable[["Intent"], None]

LEASE_S: Final = 15.0
_RENEWALS_PER_LEASE: Final = 4
_POLL_S: Final = 0.25
_LOCK_INDEX: Final = "one_open_intent_per_model"
OPEN: Final = "open"


class Intent:
    """An open intent that this process holds."""

    def __init__(self, log: "Collection[Document]", document: Document, lease_s: float) -> None:
        self._log = log
        self._lease_s = lease_s
        self._valid_until = time.monotonic() + lease_s
        self.document = document

    @property
    def id(self) -> str:
        """The `_id` of its document."""
        return str(self.document["_id"])

    def assert_lease(self) -> None:
        """Raise where the lease has run out, so that somebody else may have taken over."""
        if time.monotonic() >= self._valid_until:
            raise LockLost(
                f"lost the lock on {self.document['model']} (MongoDB did not answer in {self._lease_s:.0f} s, or this"
                " process stood still): run this again"
            )

    def renew(self) -> None:
        """Extend the lease."""
        before = time.monotonic()
        found = self._log.update_one(
            {"_id": self.id, "state": OPEN, "owner": self.document["owner"]},
            [{"$set": {"lease_until": _lease_end(self._lease_s)}}],
        )
        if found.matched_count:
            self._valid_until = before + self._lease_s

    def note(self, **fields: object) -> None:
        """Add to the document, before anything is done by it."""
        self.assert_lease()
        self._log.update_one({"_id": self.id, "owner": self.document["owner"]}, {"$set": fields})
        self.document |= fields

    def close(self, state: str, **fields: object) -> None:
        """End the intent; its document stays in the log as what became of it."""
        self._log.update_one(
            {"_id": self.id, "owner": self.document["owner"], "state": OPEN},
            {"$set": {"state": state, **fields}, "$unset": {"lease_until": 1, "owner": 1}},
        )

    def withdraw(self) -> None:
        """Remove the document: nothing was done, and nothing needs to be remembered."""
        self._log.delete_one({"_id": self.id, "owner": self.document["owner"], "state": OPEN})


@contextmanager
def hold_intent(
    log: "Collection[Document]",
    model: str,
    fields: Mapping[str, object],
    *,
    repair: Repair,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Iterator[Intent]:
    """Open an intent for a model as soon as no other one is open, and keep its lease alive.

    Leaving without `close` or `withdraw` leaves it open, for the next one to repair.

    Args:
        log: the audit log.
        model: name of the registered model.
        fields: what the document says; its `kind`, too.
        repair: finishes or undoes an intent that its owner left open, and closes it.
        wait_s: seconds to wait for another's intent.
        lease_s: seconds after which an owner that shows no sign of life is taken for dead.

    Raises:
        RegistryError: another intent on the model does not end in time.
    """
    log.create_index("model", name=_LOCK_INDEX, unique=True, partialFilterExpression={"state": OPEN})
    intent = _acquire(log, model, fields, repair, time.monotonic() + wait_s, lease_s)
    with _kept_alive(intent, lease_s):
        yield intent


def _acquire(
    log: "Collection[Document]",
    model: str,
    fields: Mapping[str, object],
    repair: Repair,
    deadline: float,
    lease_s: float,
) -> Intent:
    while True:
        if intent := _open(log, model, fields, lease_s):
            return intent
        if abandoned := _take_over(log, model, lease_s):
            with _kept_alive(abandoned, lease_s):
                repair(abandoned)
            continue
        if time.monotonic() > deadline:
            other = log.find_one({"model": model, "state": OPEN}) or {}
            raise RegistryError(
                f"another {other.get('kind', 'change')} of {model} has been under way since {other.get('at')} (run"
                f" {other.get('dagster_run_id')}): wait for it to end, then run this again"
            )
        time.sleep(_POLL_S)


def _open(log: "Collection[Document]", model: str, fields: Mapping[str, object], lease_s: float) -> Intent | None:
    from pymongo.errors import DuplicateKeyError

    token = uuid.uuid4().hex
    document = {
        **fields,
        "_id": f"{fields.get('kind', 'intent')}:{model}:{token}",
        "model": model,
        "state": OPEN,
        "owner": token,
    }
    # An update by pipeline, since an insert cannot use the server's clock.
    stage: list[Document] = [{"$set": {"lease_until": _lease_end(lease_s), **_literals(document)}}]
    try:
        log.update_one({"_id": document["_id"]}, stage, upsert=True)
    except DuplicateKeyError:
        return None
    return Intent(log, document, lease_s)


def _take_over(log: "Collection[Document]", model: str, lease_s: float) -> Intent | None:
    from pymongo import ReturnDocument

    token = uuid.uuid4().hex
    document = log.find_one_and_update(
        {"model": model, "state": OPEN, "$expr": {"$lt": ["$lease_until", "$$NOW"]}},
        [{"$set": {"owner": token, "lease_until": _lease_end(lease_s)}}],
        return_document=ReturnDocument.AFTER,
    )
    return Intent(log, document, lease_s) if document else None


def _lease_end(lease_s: float) -> Document:
    return {"$add": ["$$NOW", int(lease_s * 1000)]}


def _literals(document: Document) -> Document:
    """Values that a pipeline takes as they are, dollar signs and all."""
    return {key: {"$literal": value} for key, value in document.items() if key != "_id"}


@contextmanager
def _kept_alive(intent: Intent, lease_s: float) -> Iterator[None]:
    from pymongo.errors import PyMongoError

    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease_s / _RENEWALS_PER_LEASE):
            try:
                intent.renew()
            except PyMongoError:
                # The next renewal may succeed; `assert_lease` stops the promotion where none does.
                continue

    thread = threading.Thread(target=renew, name=f"lease of {intent.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
