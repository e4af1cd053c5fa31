"""Receivers of outcomes on real sockets: a web server that takes JSON, and mail servers."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from resources.notifiers import Notifier, notifiers_at

USER = "nhm"
PASSWORD = "s3cret-word"  # noqa: S105 - of servers that live for one test


@dataclass
class Receiver:
    """A web server on a port of this machine: what it got, and with which status it answers."""

    port: int
    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def retrainings(self) -> list[dict[str, Any]]:
        """The outcomes that it got, as programs read them."""
        return [body["retraining"] for body in self.received]

    @property
    def url(self) -> str:
        """Its address in NOTIFY_URLS."""
        return f"json://127.0.0.1:{self.port}"

    @property
    def notifier(self) -> Notifier:
        (notifier,) = notifiers_at(self.url, timeout_s=5)
        return notifier


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A web server that takes JSON by POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            there.received.append(json.loads(content))
            there.paths.append(self.path)
            self.send_response(there.status)
            self.send_header("Content-Length", "2")
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            # What Slack answers.
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there = Receiver(server.server_port)
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield there
        server.shutdown()


@dataclass(frozen=True)
class Delivery:
    """One mail as it arrived, with what its envelope and its connection tell."""

    receivers: list[str]
    encrypted: bool
    user: str | None
    mail: EmailMessage


@dataclass
class MailServer:
    """A mail server: what it accepted, and how it answers a mail.

    Attributes:
        refused: receivers whose mail it refuses.
    """

    port: int = 0
    answer: str = "250 OK"
    refused: set[str] = field(default_factory=set)
    accepted: list[Delivery] = field(default_factory=list)

    async def handle_RCPT(self, *arguments: Any) -> str:  # noqa: N802 - the library's name
        _, _, envelope, address, _ = arguments
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            encrypted = server.transport.get_extra_info("ssl_object") is not None
            user = session.auth_data.login.decode() if session.auth_data else None
            self.accepted.append(Delivery(list(envelope.rcpt_tos), encrypted, user, mail))
        return self.answer


@contextmanager
def mail_server(
    certificate: Path | None = None, *, from_the_start: bool = False, login: bool = False
) -> Iterator[MailServer]:
    """A mail server; with a certificate it encrypts, on STARTTLS or from the start."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def known(server: Any, session: Any, envelope: Any, mechanism: str, auth_data: Any) -> AuthResult:
        right = isinstance(auth_data, LoginPassword) and auth_data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, auth_data=auth_data)

    there = MailServer()
    options: dict[str, Any] = {"authenticator": known, "auth_required": login, "auth_require_tls": False}
    if context and not from_the_start:
        options |= {"tls_context": context, "require_starttls": True}

    class OnAnyPort(Controller):
        def factory(self) -> SMTP:
            return SMTP(self.handler, **options)

        def _trigger_server(self) -> None:
            """The library connects to the port that it was given, and it was given none."""
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    controller = OnAnyPort(there, "127.0.0.1", 0, ssl_context=context if from_the_start else None)
    controller.start()
    there.port = controller.port
    yield there
    controller.stop()


def self_signed(path: Path) -> Path:
    """A self-signed certificate for this machine and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path
