"""Receivers of outcomes: Slack, Teams, mail, PagerDuty, a webhook and whatever else the library Apprise knows."""

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from apprise import NotifyBase

_LOGGERS: Final = ("apprise", "urllib3.connectionpool")
"""They write addresses, which are secrets."""
_HTTP_STATUS: Final = re.compile(r"\berror=(\d{3})\b")
_SEPARATOR: Final = re.compile(r"\s+|,(?=[\w+-]+://)")


@dataclass(frozen=True)
class Notification:
    """What receivers get.

    Attributes:
        title: one line.
        text: the rest, for people.
        kind: `info`, `success`, `warning` or `failure`, for receivers that treat them differently.
        fields: the same for programs; receivers at `json://` and `jsons://` get them beside Apprise's own.
    """

    title: str
    text: str
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Notifier:
    """One receiver.

    Attributes:
        name: identifies the address without revealing it; equal addresses have equal names.
        label: what logs call it.
    """

    name: str
    label: str
    service: "NotifyBase"

    def send(self, notification: Notification) -> str | None:
        """Send it once. Returns None, or the reason why the receiver did not accept it.

        A receiver with several targets (a mail to three people) has accepted it once one target has: if it were sent
        again, that target would get it twice.
        """
        from apprise import NotifyFormat
        from apprise.plugins.custom_json import NotifyJSON

        taken: list[object] = []
        self.service.mark_delivered = lambda key, **_: taken.append(key)  # type: ignore[method-assign]
        if isinstance(self.service, NotifyJSON):
            self.service.payload_extras.update(notification.fields)
        # A title of several lines could add headers to a mail.
        title = " ".join(notification.title.split())
        with _unlogged() as statuses:
            try:
                self.service.notify(notification.text, title, notification.kind, body_format=NotifyFormat.TEXT)
            except Exception as error:  # noqa: BLE001 - a defect of one plugin must not silence the other receivers
                return f"{self.label} failed ({type(error).__name__}): check its address in NOTIFY_URLS"
        if taken:
            return None
        answer = f"answers {statuses[-1]}" if statuses else "cannot be reached or refuses the message"
        return f"{self.label} {answer}: check its address in NOTIFY_URLS, and its rights"


def notifiers_at(urls: str, *, timeout_s: float) -> list[Notifier]:
    """The receivers at these addresses.

    Args:
        urls: addresses as Apprise writes them, separated by blanks or by commas.
        timeout_s: seconds until a receiver that does not answer counts as down.

    Raises:
        ValueError: Apprise does not understand an address; the message does not contain it.
    """
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="nhm", app_desc="nhm-assets")
    notifiers: dict[str, Notifier] = {}
    with _unlogged():
        addresses = filter(None, (part.strip(",") for part in _SEPARATOR.split(urls)))
        for number, url in enumerate(addresses, start=1):
            service = Apprise.instantiate(url, asset=asset)
            if service is None:
                raise ValueError(f"Apprise does not understand address {number}: see https://appriseit.com/services")
            service.socket_connect_timeout = service.socket_read_timeout = timeout_s
            # Redirects would carry the message to an address that nobody configured, throttling would hold up a tick.
            service.redirects, service.request_rate_per_sec = False, 0
            scheme = url.partition("://")[0].lower()
            name = f"{scheme}-{sha256(url.encode()).hexdigest()[:8]}"
            notifiers.setdefault(name, Notifier(name, f"{service.service_name} (address {number})", service))
    return list(notifiers.values())


@contextmanager
def _unlogged() -> Iterator[list[str]]:
    """Drop what this thread's libraries log; yields the HTTP statuses that they were about to log."""
    statuses: list[str] = []
    here = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread == here:
            statuses.extend(_HTTP_STATUS.findall(record.getMessage()))
        return record.thread != here

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield statuses
    finally:
        for logger in loggers:
            logger.removeFilter(keep)
