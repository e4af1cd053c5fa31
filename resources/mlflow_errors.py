"""What errors of MLflow's client, of its HTTP library and of its database mean."""

import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

NOT_THERE: Final = "RESOURCE_DOES_NOT_EXIST"
NOT_A_NAME: Final = "INVALID_PARAMETER_VALUE"
"""MLflow's code for an alias that nobody has set, and for a number that no version can have."""
AWAY: Final = (408, 429, 500, 502, 503, 504)
"""HTTP statuses of a server, or of a proxy before it, that cannot answer now."""
DENIED: Final = (401, 403)
_STATUS = re.compile(r"failed with error code (\d{3})\b|\b(\d{3}) (?:Server|Client) Error\b")
_MISSING_FILE = re.compile(r"Could not find (?:a suitable )?(?:the )?TLS .*?, invalid path: (.+)")
_CONNECTION = ("failed with exception", "failed with timeout exception")
_DATABASE_DENIES = ("password authentication failed", "no pg_hba.conf entry", "Access denied for user")
_DATABASE_AWAY = (
    "database is locked",
    "database table is locked",
    "connection to server",
    "could not connect",
    "could not translate host name",
    "server closed the connection",
    "terminating connection",
    "the database system is",
    "SSL connection has been closed",
    "too many clients",
    "remaining connection slots",
    "connection refused",
    "connection reset",
    "timeout expired",
    "deadlock detected",
    "Can't connect to",
    "Lost connection",
    "gone away",
)
"""Words of SQLite, PostgreSQL and MySQL. Their other operational errors, such as a missing table, do not pass."""
T = TypeVar("T")


class MlflowAnswer(Exception):
    """What MLflow answers instead of what was asked for, in the form of its library's errors.

    Attributes:
        error_code: MLflow's word for what is wrong.
    """

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(f"{error_code}: {message}")
        self.error_code = error_code


def if_there(ask: Callable[[], T], *missing: str) -> T | None:
    """What MLflow answers; None if it says that there is no such thing.

    Args:
        ask: asks it, by its library or by a reader.
        missing: further codes that mean this.
    """
    try:
        return ask()
    except Exception as error:
        if getattr(error, "error_code", None) in (NOT_THERE, *missing):
            return None
        raise


def loaded_class(module: str, name: str) -> tuple[type[Exception], ...]:
    """A class of errors, to ask `isinstance`; none if its module was not imported, and so cannot have raised one."""
    found = getattr(sys.modules.get(module), name, None)
    return (found,) if found else ()


@dataclass(frozen=True)
class Cause:
    """What lies behind an error; all None: nothing that has to do with the connection.

    Attributes:
        status: the HTTP status that the server answered.
        missing_file: the file of certificates that is named but missing.
        untrusted: why the server's certificate is not trusted.
        denied: what the database says about our login.
        away: why the server cannot be reached.
    """

    status: int | None = None
    missing_file: str | None = None
    untrusted: str | None = None
    denied: str | None = None
    away: str | None = None


def cause_of(error: Exception) -> Cause:
    """The cause of an error that MLflow's client or its HTTP library raised."""
    text = str(error)
    if missing := _MISSING_FILE.search(text):
        return Cause(missing_file=missing[1].strip(" ')"))
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Cause(untrusted=text.rpartition("CERTIFICATE_VERIFY_FAILED] ")[2].split(" (_ssl")[0][:200])
    if status := _status(error, text):
        return Cause(status=status)
    if _is_of_a_database(error):
        denied = next((line for line in text.splitlines() if any(words in line for words in _DATABASE_DENIES)), None)
        if denied:
            return Cause(denied=denied[:200])
        if any(words.lower() in text.lower() for words in _DATABASE_AWAY):
            return Cause(away=root_reason(error))
        return Cause()
    if _is_of_the_connection(error) or any(words in text for words in _CONNECTION):
        return Cause(away=root_reason(error))
    return Cause()


def _status(error: Exception, text: str) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(error, loaded_class("requests.exceptions", "HTTPError")) and response is not None:
        return int(response.status_code)
    if isinstance(error, loaded_class("mlflow.exceptions", "RestException")):
        status = int(error.get_http_status_code())  # type: ignore[attr-defined]
        return status if status in (*AWAY, *DENIED) else None
    found = _STATUS.search(text)
    status = int(found[1] or found[2]) if found else 0
    return status if status in (*AWAY, *DENIED) else None


def _is_of_a_database(error: Exception) -> bool:
    of_databases: tuple[type[Exception], ...] = (sqlite3.Error, *loaded_class("sqlalchemy.exc", "DBAPIError"))
    return isinstance(error, of_databases) or isinstance(error.__cause__, of_databases)


def _is_of_the_connection(error: Exception) -> bool:
    names = ("ConnectionError", "Timeout", "ChunkedEncodingError")
    return any(isinstance(error, loaded_class("requests.exceptions", name)) for name in names)


def root_reason(error: BaseException) -> str:
    """The cause of a connection error in a few words, without the address."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    known = ("Connection refused", "Name or service not known", "name resolution", "timed out", "Connection reset")
    for words in (*known, "database is locked"):
        if words in text:
            return words.lower()
    return text.rsplit("Caused by", 1)[-1][:200].strip(" ()")
