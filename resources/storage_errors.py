"""What the storage libraries raise, and which of these errors pass by themselves."""

import errno
import sys

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
