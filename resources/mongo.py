"""MongoDB: one short-lived client per use, and reads from one point in time if the server supports it."""

import atexit
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resources.addresses import masked
from resources.embedded_mongo import embedded_mongod
from resources.errors import MongoRefused, MongoSlow, MongoUnavailable, ServiceError

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.database import Database
    from pymongo.errors import OperationFailure

_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13
_PASSING = frozenset(
    {
        *(6, 7, 89, 9001),  # the server cannot reach another one
        *(91, 11600),  # it is shutting down
        *(189, 10107, 11602, 13435, 13436),  # another member became the primary
        *(64, 133, 134, 262),  # too few members answer in time
        *(43, 237),  # the cursor did not survive one of these
    }
)
"""Codes of the server that mean the same call may succeed in a moment."""
_READ_TIMEOUT_S = 120
_SNAPSHOT_TOO_OLD = 239
_SNAPSHOT_REFUSED = (246, _SNAPSHOT_TOO_OLD)
_SNAPSHOT_ATTEMPTS = 4
_MOST_TOO_OLD = 2
_TOO_LONG = (
    "no single point in time: reading took longer than MongoDB keeps its history. Raise its parameter"
    " minSnapshotHistoryWindowInSeconds (300 by default) above the seconds that a dataset takes"
)
_NOT_A_REPLICA_SET = 123
_SNAPSHOT_WIRE_VERSION = 13
"""Of MongoDB 5.0, the first that reads from snapshots outside a transaction."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Mongo:
    """The MongoDB with feedback, opinions and plans.

    Args:
        uri: its address; None for an embedded mongod on this machine.
        home: folder of the embedded mongod.
        database: name of the database.
        timeout_s: seconds until an unreachable server counts as an error.
    """

    def __init__(self, *, uri: str | None, home: Path, database: str, timeout_s: float) -> None:
        self._uri = uri
        self._home = home
        self._database = database
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"Mongo({self.address})"

    @property
    def address(self) -> str:
        """The address without password and options, safe to show."""
        return masked(self._uri) if self._uri else f"embedded mongod in {self._home}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the embedded mongod running between uses; with a server elsewhere, do nothing."""
        if self._uri:
            yield
            return
        with embedded_mongod(self._home):
            yield

    @contextmanager
    def database(self, *, waits: bool = True) -> Iterator["Database[dict[str, Any]]"]:
        """The database, read from the primary; the server is reachable on entry.

        Args:
            waits: see `embedded_mongod`.

        Raises:
            MongoUnavailable: the server cannot be reached or cannot do this now, on entry or in the body.
            MongoSlow: a query in the body took too long.
            MongoRefused: it refuses the credentials, or the address is not usable.
            EmbeddedMongoError: the embedded mongod cannot be started.
        """
        if self._uri:
            with self._connected(self._uri) as database:
                yield database
            return
        with embedded_mongod(self._home, waits=waits) as uri, self._connected(uri) as database:
            yield database

    @contextmanager
    def _connected(self, uri: str) -> Iterator["Database[dict[str, Any]]"]:
        from pymongo import ReadPreference

        client = self._client(uri)
        try:
            with self.errors():
                client.admin.command("ping")
                # Whatever the address prefers: on a secondary that lags behind, locks and the audit log are not yet
                # what was just written.
                yield client.get_database(self._database, tolerant_decoding(), ReadPreference.PRIMARY)
        finally:
            client.close()
            _exit_without_waiting()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the errors of `database` for what the driver raises in the body, where the database stays open."""
        from pymongo.errors import ConnectionFailure, OperationFailure

        try:
            yield
        except ConnectionFailure as error:
            raise self._unreachable(error) from None
        except OperationFailure as error:
            ours = self._of(error)
            if ours is None:
                raise
            raise ours from None

    def _unreachable(self, error: Exception) -> MongoUnavailable:
        return MongoUnavailable(
            f"MongoDB at {self.address} cannot be reached ({_first_line(error)})."
            " Check MONGODB_URI, the network and that the server runs, then run this again"
        )

    def _of(self, error: "OperationFailure") -> ServiceError | None:
        """Our error for a failed operation; None for one that neither passes nor has to do with the login."""
        from pymongo.errors import ExecutionTimeout

        if isinstance(error, ExecutionTimeout):
            return MongoSlow(
                f"MongoDB at {self.address} is slow: a query took longer than it may ({_first_line(error)}). Check its"
                " load and its indexes (`nhm status` names missing ones), then run this again"
            )
        if _codes(error) & {_AUTHENTICATION_FAILED, _UNAUTHORIZED}:
            return MongoRefused(
                f"MongoDB at {self.address} refuses the credentials ({_first_line(error)})."
                " Check user, password, authSource and the user's roles in MONGODB_URI"
            )
        if _codes(error) & _PASSING:
            return MongoUnavailable(
                f"MongoDB at {self.address} cannot do this now ({_first_line(error)}), for example because another"
                " member becomes the primary. Run this again"
            )
        return None

    def _client(self, uri: str) -> "MongoClient[dict[str, Any]]":
        from pymongo import MongoClient
        from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

        timeout_ms = int(self._timeout_s * 1000)
        if _has_raw_credentials(uri):
            raise self._unusable()
        try:
            return MongoClient(
                uri,
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                socketTimeoutMS=_READ_TIMEOUT_S * 1000,
                appname="nhm",
                w="majority",
            )
        except FileNotFoundError as error:
            raise MongoRefused(
                f"the file {error.filename} with certificates, which MONGODB_URI names, does not exist"
            ) from None
        except ConfigurationError as error:
            if _is_of_dns(error):
                raise self._unreachable(error) from None
            raise self._unusable() from None
        except (InvalidURI, PyMongoError, ValueError, OSError):
            # The library's message quotes parts of the address, perhaps with the password.
            raise self._unusable() from None

    def _unusable(self) -> MongoRefused:
        return MongoRefused(
            f"MONGODB_URI is not a usable MongoDB address ({self.address}). It should look like"
            " mongodb://user:password@host:27017/?authSource=admin, with special characters percent-encoded"
        )


def tolerant_decoding() -> "CodecOptions[dict[str, Any]]":
    """Decodes whatever MongoDB stores: one bad value in a document must not stop the reading of all others.

    Dates are in UTC; those that Python cannot hold become `DatetimeMS`. Bytes that are not UTF-8 become lone
    surrogates, which no valid text has.
    """
    from bson.codec_options import CodecOptions, DatetimeConversion

    return CodecOptions(
        tz_aware=True,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        unicode_decode_error_handler="surrogateescape",
    )


def _exit_without_waiting() -> None:
    """At the end of this process, do not wait for the threads of closed clients: that takes up to half a second.

    PyMongo has no setting for it. Its threads are daemons, and those of a closed client only sleep.
    """
    from pymongo.synchronous import monitor

    wait = getattr(monitor, "_shutdown_resources", None)
    if wait is not None:
        atexit.unregister(wait)


def _codes(error: "OperationFailure") -> set[int | None]:
    """The codes of a failed operation. A bulk write has more than one; its details can also lack a code."""
    details = error.details or {}
    concerns = [*(details.get("writeConcernErrors") or []), details.get("writeConcernError") or {}]
    return {error.code, *(concern.get("code") for concern in concerns)}


def _is_of_dns(error: Exception) -> bool:
    """Whether the look-up of the members' names failed, which mongodb+srv:// addresses need."""
    return any(words in str(error) for words in ("DNS", "resolution lifetime", "nameservers"))


def _has_raw_credentials(uri: str) -> bool:
    """Whether user or password contain a character that ends them early, so that the rest would count as the host."""
    credentials = uri.partition("://")[2].rpartition("@")[0]
    return any(character in credentials for character in "@/?#")


@contextmanager
def snapshot(database: "Database[dict[str, Any]]") -> Iterator["ClientSession | None"]:
    """A session whose reads all see one point in time; None if the server has no snapshots.

    Those are standalone servers, and servers older than MongoDB 5.0.
    """
    hello = database.command("hello")
    lacks = None
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        lacks = "a standalone server"
    elif hello.get("maxWireVersion", 0) < _SNAPSHOT_WIRE_VERSION:
        lacks = "older than 5.0"
    if lacks:
        _warn_of_no_snapshot(lacks)
        yield None
        return
    with database.client.start_session(snapshot=True) as session:
        yield session


def _warn_of_no_snapshot(reason: str) -> None:
    _log.warning("MongoDB is %s: if feedback is written during a read, the read may see only a part of it", reason)


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()[0]
    for detail in (", Timeout:", ", full error:", " (configured timeouts:"):
        text = text.split(detail, 1)[0]
    return text[:300]


def read_consistently(
    database: "Database[dict[str, Any]]", read: Callable[["ClientSession | None"], T]
) -> tuple[T, str]:
    """Read in one snapshot, and return the result and the time that the snapshot shows.

    The server can refuse a snapshot while an index is being built, or if it keeps too little history. Then everything
    is read again in a new snapshot. Where there are no snapshots after all, it is read without one: behind a router
    each server may be of another version. The same happens the second time that reading takes longer than the server
    keeps its history, because the next attempt would take as long.
    """
    from pymongo.errors import ConfigurationError, OperationFailure

    too_old = 0
    for attempt in range(1, _SNAPSHOT_ATTEMPTS + 1):
        try:
            with snapshot(database) as session:
                result = read(session)
                return result, _as_of(session)
        except ConfigurationError as error:
            _warn_of_no_snapshot(f"without snapshots ({_first_line(error)})")
            return read(None), _as_of(None)
        except OperationFailure as error:
            if error.code == _NOT_A_REPLICA_SET:
                _warn_of_no_snapshot("a standalone server")
                return read(None), _as_of(None)
            too_old += error.code == _SNAPSHOT_TOO_OLD
            if too_old == _MOST_TOO_OLD:
                _log.warning("MongoDB keeps too little history for this read: it is read without a snapshot")
                return read(None), _TOO_LONG
            if error.code not in _SNAPSHOT_REFUSED or attempt == _SNAPSHOT_ATTEMPTS:
                raise
            _log.warning("MongoDB refused the snapshot (%s): reading again", _first_line(error))
            time.sleep(attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _as_of(session: "ClientSession | None") -> str:
    if session is None:
        return "no single point in time: MongoDB is a standalone server, or older than 5.0"
    moment = session._snapshot_time
    return moment.as_datetime().isoformat() if moment else "nothing was read"
