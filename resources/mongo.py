"""MongoDB: one short-lived client a use, read as of one point in time where the server can promise that."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resources.addresses import masked
from resources.embedded_mongo import embedded_mongod
from resources.errors import MongoRefused, MongoUnavailable

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.database import Database

_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13
_READ_TIMEOUT_S = 120
_SNAPSHOT_REFUSED = (246, 239)
_SNAPSHOT_ATTEMPTS = 4
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Mongo:
    """The MongoDB that feedback, opinions and plans lie in.

    Args:
        uri: its address; None for a mongod of this machine's own.
        home: folder of that mongod.
        database: name of the database.
        timeout_s: seconds until an unreachable server is an error.
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
        """The address as it may be shown: without password and options."""
        return masked(self._uri) if self._uri else f"mongod of its own under {self._home}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a mongod of this machine running in between uses; nothing to do for a server elsewhere."""
        if self._uri:
            yield
            return
        with embedded_mongod(self._home):
            yield

    @contextmanager
    def database(self) -> Iterator["Database[dict[str, Any]]"]:
        """The database, reachable at the time of entering.

        Raises:
            MongoUnavailable: the server cannot be reached, or goes away in the body.
            MongoRefused: it refuses the credentials, or the address cannot be used.
            EmbeddedMongoError: the mongod of this machine cannot be started.
        """
        if self._uri:
            with self._connected(self._uri) as database:
                yield database
            return
        with embedded_mongod(self._home) as uri, self._connected(uri) as database:
            yield database

    @contextmanager
    def _connected(self, uri: str) -> Iterator["Database[dict[str, Any]]"]:
        from pymongo.errors import AutoReconnect, OperationFailure

        client = self._client(uri)
        try:
            client.admin.command("ping")
            yield client[self._database]
        except AutoReconnect as error:
            raise MongoUnavailable(
                f"MongoDB at {self.address} cannot be reached ({_first_line(error)}):"
                " check MONGODB_URI, the network and whether the server runs, then run this again"
            ) from None
        except OperationFailure as error:
            if error.code not in (_AUTHENTICATION_FAILED, _UNAUTHORIZED):
                raise
            raise MongoRefused(
                f"MongoDB at {self.address} refuses the credentials ({_first_line(error)}):"
                " check user, password, authSource and the user's roles in MONGODB_URI"
            ) from None
        finally:
            client.close()

    def _client(self, uri: str) -> "MongoClient[dict[str, Any]]":
        from bson.codec_options import DatetimeConversion
        from pymongo import MongoClient
        from pymongo.errors import InvalidURI, PyMongoError

        milliseconds = int(self._timeout_s * 1000)
        if _has_raw_credentials(uri):
            raise self._unusable()
        try:
            return MongoClient(
                uri,
                tz_aware=True,
                datetime_conversion=DatetimeConversion.DATETIME_AUTO,
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=_READ_TIMEOUT_S * 1000,
                appname="nhm",
                w="majority",
            )
        except (InvalidURI, PyMongoError, ValueError, OSError):
            # The library's own words quote parts of the address, a password perhaps among them.
            raise self._unusable() from None

    def _unusable(self) -> MongoRefused:
        return MongoRefused(
            f"MONGODB_URI is not a usable MongoDB address ({self.address}): it should look like"
            " mongodb://user:password@host:27017/?authSource=admin, special characters percent-encoded"
        )


def _has_raw_credentials(uri: str) -> bool:
    """Whether user or password hold a character that ends them early: its rest would be taken for a host."""
    credentials = uri.partition("://")[2].rpartition("@")[0]
    return any(character in credentials for character in "@/?#")


@contextmanager
def snapshot(database: "Database[dict[str, Any]]") -> Iterator["ClientSession | None"]:
    """A session whose reads all see one point in time; None where the server cannot promise that.

    Replica sets and sharded clusters can, a standalone server cannot.
    """
    hello = database.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        _log.warning("MongoDB is a standalone server: feedback written while a window is read may be half seen")
        yield None
        return
    with database.client.start_session(snapshot=True) as session:
        yield session


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()[0]
    for detail in (", Timeout:", ", full error:", " (configured timeouts:"):
        text = text.split(detail, 1)[0]
    return text[:300]


def read_consistently(
    database: "Database[dict[str, Any]]", read: Callable[["ClientSession | None"], T]
) -> tuple[T, str]:
    """Run a reader in one snapshot, and say as of when it read.

    A snapshot can be refused for a moment, while an index is being made, or grow too old for a server that
    keeps little history; then everything is read again in a new one.
    """
    from pymongo.errors import OperationFailure

    for attempt in range(1, _SNAPSHOT_ATTEMPTS + 1):
        try:
            with snapshot(database) as session:
                result = read(session)
                return result, _as_of(session)
        except OperationFailure as error:
            if error.code not in _SNAPSHOT_REFUSED or attempt == _SNAPSHOT_ATTEMPTS:
                raise
            _log.warning("MongoDB refused the snapshot (%s), reading again", _first_line(error))
            time.sleep(attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _as_of(session: "ClientSession | None") -> str:
    if session is None:
        return "no single point in time: MongoDB is a standalone server"
    moment = session._snapshot_time
    return moment.as_datetime().isoformat() if moment else "nothing was read"
