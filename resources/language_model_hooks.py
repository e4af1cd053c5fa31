"""What the clients of language models may send, and how long they may wait: hooks of their HTTP client."""

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import mktime_tz, parsedate_tz
from functools import partial
from importlib import import_module
from typing import Any, Final

_LONGEST_WAIT_S: Final = 120.0
_OF_HTTP: Final = ("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent")
_OF_PROTOCOLS: Final = ("anthropic-version", "authorization", "idempotency-key", "x-api-key")


def hooks(key: str, timeout_s: float) -> dict[str, list[Callable[[Any], None]]]:
    """The event hooks of the HTTP client that sends questions with this key, and reads an answer for so long."""
    return {
        "request": [partial(_send_no_more, key)],
        "response": [_do_not_wait_for_long, partial(_read_in_time, timeout_s)],
    }


def _send_no_more(key: str, request: Any) -> None:
    """Keep the headers that a question needs, with our key and no other.

    The packages add what they find in the environment, such as OPENAI_ORG_ID, and describe this machine.
    """
    for name in {name.lower() for name in request.headers}.difference(_OF_HTTP, _OF_PROTOCOLS):
        del request.headers[name]
    # Not added where it is not: a redirection to another server does not carry it.
    for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
        if name in request.headers:
            request.headers[name] = value


def _do_not_wait_for_long(response: Any) -> None:
    """Tell the packages not to retry what they would have to wait for too long; both obey this header."""
    if _wait_s(response.headers) > _LONGEST_WAIT_S:
        response.headers["x-should-retry"] = "false"


def _read_in_time(timeout_s: float, response: Any) -> None:
    """Give up an answer that does not end in time. The packages wait so long for each part of it.

    Some servers send spaces while they think.
    """
    stream, until = response.stream, time.monotonic() + timeout_s
    # Each package has an HTTP client of its own, and retries its errors alone.
    client: Any = import_module(type(response).__module__.partition(".")[0])

    class InTime(client.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for part in stream:
                if time.monotonic() > until:
                    raise client.ReadTimeout("the answer does not end", request=response.request)
                yield part

        def close(self) -> None:
            stream.close()

    response.stream = InTime()


def _wait_s(headers: Mapping[str, str]) -> float:
    """Seconds that a server wants to be left alone for, as the packages read them."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
    try:
        date = parsedate_tz(headers.get("retry-after", ""))
        return mktime_tz(date) - time.time() if date else 0.0
    except (ValueError, OverflowError):
        return float("inf")
