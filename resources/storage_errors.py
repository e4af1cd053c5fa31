"""What the storage libraries raise, which of these errors pass by themselves, and what people are told."""

import errno
import sys
from typing import TYPE_CHECKING, Final

from resources.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

STORAGE: Final = "NHM_STORAGE"

_AWAY = (errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
"""What a folder on another machine answers while that machine is away."""
_SERVER_ERROR = 500
_BUSY_STATUS = (408, 409, 429)
_BUSY_CODES = ("SlowDown", "RequestTimeout", "RequestLimitExceeded", "Throttling", "ThrottlingException")
"""Answers of S3 that say: later. 501 is no server error in this sense, but nobody answers it to what we ask."""


def passes_by_itself(error: BaseException) -> bool:
    """Whether the store was away, busy or cut off, so that the same call may succeed later.

    Examples are refused connections, timeouts, and answers of S3 that say 5xx or "slow down".
    """
    botocore = sys.modules.get("botocore.exceptions")
    if botocore and isinstance(error, botocore.SSLError):
        return False
    if botocore and isinstance(error, botocore.ClientError):
        answer = error.response.get("ResponseMetadata", {})
        status, code = answer.get("HTTPStatusCode", 0), error.response.get("Error", {}).get("Code", "")
        return status in _BUSY_STATUS or status >= _SERVER_ERROR or code in _BUSY_CODES
    if botocore and isinstance(error, (botocore.ConnectionError, botocore.HTTPClientError)):
        return True
    if isinstance(error, ConnectionError | TimeoutError) or getattr(error, "errno", None) in _AWAY:
        return True
    # s3fs translates an answer into an OSError and keeps it as the cause.
    return error.__cause__ is not None and passes_by_itself(error.__cause__)


def store_errors() -> tuple[type[Exception], ...]:
    """What reading and writing raise. fsspec turns most errors into OSError, but not that of an unreachable S3."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError, botocore.BotoCoreError) if botocore else (OSError,)


def read_error(path: "UPath", error: Exception) -> StorageError:
    """The error of a path that cannot be read; one that may pass if the store was away."""
    if passes_by_itself(error):
        return _unavailable(path, "read", error, STORAGE)
    return StorageError(f"{path} cannot be read ({_reason(error)}): {_remedy(error, STORAGE)}")


def write_error(path: "UPath | Path", error: Exception, setting: str = STORAGE) -> StorageError:
    """The same of a path that cannot be written; the setting is what says where it is."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path} cannot be written: the disk is full. Free space there or set {setting} to another place,"
            " then run this again. Files stored earlier are unchanged"
        )
    if passes_by_itself(error):
        return _unavailable(path, "written", error, setting)
    return StorageError(f"{path} cannot be written ({_reason(error)}): {_remedy(error, setting)}")


def damaged(file: "UPath", asset: str, reason: str) -> StorageError:
    """The error of a file with the wrong content."""
    return StorageError(f"{file} is damaged ({reason}): materialize {asset} for this partition again")


def _unavailable(path: "UPath | Path", what: str, error: Exception, setting: str) -> StorageUnavailable:
    return StorageUnavailable(
        f"{path} cannot be {what}, because its store is away or too busy ({error}). If that lasts, check {setting}"
        " and the store"
    )


def _remedy(error: Exception, setting: str) -> str:
    botocore = sys.modules.get("botocore.exceptions")
    if botocore and isinstance(error, (botocore.NoCredentialsError, botocore.PartialCredentialsError)):
        return f"for {setting}, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    return f"check {setting} and its permissions"


def _reason(error: Exception) -> str:
    """Why, without the number of the error and without the path, which the message begins with."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file is in the place of a folder"
    return str(getattr(error, "strerror", None) or error)
