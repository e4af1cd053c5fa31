"""Slack, mail and a generic webhook: where people and programs hear what became of a retraining."""

import logging
import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final, Protocol

from resources.errors import NotifierDown


class Notifier(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """What they are called in logs."""

    def send(self, subject: str, text: str, content: Mapping[str, Any]) -> None:
        """Tell them once.

        Raises:
            NotifierDown: they did not take it.
        """


@dataclass(frozen=True, repr=False)
class Slack:
    """A Slack channel, by its incoming webhook. The address is a secret: who knows it can write there."""

    url: str
    timeout_s: float
    name: str = "Slack"

    def send(self, subject: str, text: str, content: Mapping[str, Any]) -> None:  # noqa: ARG002 - Slack reads text
        """Post the text, its first line in bold."""
        rest = text.partition("\n")[2]
        _post(self.name, self.url, {"text": f"*{_for_slack(subject)}*\n{_for_slack(rest)}"}, self.timeout_s)


@dataclass(frozen=True, repr=False)
class Webhook:
    """A program that takes JSON by POST."""

    url: str
    timeout_s: float
    name: str = "webhook"

    def send(self, subject: str, text: str, content: Mapping[str, Any]) -> None:
        """Post everything."""
        _post(self.name, self.url, {"subject": subject, "text": text, **content}, self.timeout_s)


@dataclass(frozen=True, repr=False)
class Mail:
    """People, by mail through an SMTP server; `security` is starttls, tls or none."""

    host: str
    port: int
    security: str
    user: str | None
    password: str | None
    sender: str
    receivers: Sequence[str]
    timeout_s: float
    name: str = "mail"

    def send(self, subject: str, text: str, content: Mapping[str, Any]) -> None:  # noqa: ARG002 - people read text
        """Send one mail to all."""
        try:
            message = self._message(subject, text)
            with self._server() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password or "")
                server.send_message(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # Not the server's own words: they may quote what was sent.
            raise NotifierDown(
                f"{self.name}: {self.host}:{self.port} did not take it ({type(error).__name__}):"
                " check the SMTP_ settings, MAIL_TO and the server"
            ) from None

    def _message(self, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        # A header is one line.
        message["Subject"] = " ".join(f"[nhm] {subject}".split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.receivers)
        message.set_content(text)
        return message

    def _server(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)


_TAKEN: Final = range(200, 300)


def _post(name: str, url: str, content: Mapping[str, Any], timeout_s: float) -> None:
    import requests

    try:
        with _unlogged("urllib3.connectionpool"):
            answer = requests.post(url, json=content, timeout=timeout_s, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        # The library's words quote the address, which is a secret.
        raise NotifierDown(f"{name}: cannot be reached ({type(error).__name__}): check its address") from None
    if answer.status_code not in _TAKEN:
        raise NotifierDown(f"{name}: answers {answer.status_code}: check its address and its rights")


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Where everything is logged, a library's logger would write the path of an address, which is a secret."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(max(before, logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(before)


def _for_slack(text: str) -> str:
    """Slack reads three characters as its own markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def notify(notifiers: Sequence[Notifier], subject: str, text: str, content: Mapping[str, Any]) -> dict[str, str | None]:
    """Tell everybody, whatever becomes of the others.

    Returns:
        Name of the notifier -> None where it took the message, else why it did not.
    """
    answers: dict[str, str | None] = {}
    for one in notifiers:
        try:
            one.send(subject, text, content)
        except NotifierDown as error:
            answers[one.name] = str(error)
        else:
            answers[one.name] = None
    return answers
