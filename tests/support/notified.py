"""Those who are told of outcomes: a web server that takes JSON, and mail servers, on real sockets."""

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

USER = "nhm"
PASSWORD = "s3cret-word"  # noqa: S105 - of servers that live for one test


@dataclass
class Receiver:
    """A web server: where it is, what it was told, and with which status it answers."""

    address: str
    status: int = 200
    told: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Takes JSON by POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            there.told.append(json.loads(content))
            there.paths.append(self.path)
            self.send_response(there.status)
            self.send_header("Content-Length", "0")
            self.send_header("Location", f"{there.address}/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there = Receiver(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield there
        server.shutdown()


@dataclass(frozen=True)
class Delivery:
    """One mail as it arrived: what the envelope and the connection said, and the mail itself."""

    receivers: list[str]
    encrypted: bool
    user: str | None
    mail: EmailMessage


@dataclass
class MailServer:
    """A mail server, and what it took; `answer` is what it says to a mail."""

    port: int = 0
    answer: str = "250 OK"
    took: list[Delivery] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            encrypted = server.transport.get_extra_info("ssl_object") is not None
            user = session.auth_data.login.decode() if session.auth_data else None
            self.took.append(Delivery(list(envelope.rcpt_tos), encrypted, user, mail))
        return self.answer


@contextmanager
def mail_server(
    certificate: Path | None = None, *, from_the_start: bool = False, login: bool = False
) -> Iterator[MailServer]:
    """Takes mail; encrypted where it has a certificate: on STARTTLS, or from the start."""
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
            """The library knocks at the port that it was given, and was given none."""
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    controller = OnAnyPort(there, "127.0.0.1", 0, ssl_context=context if from_the_start else None)
    controller.start()
    there.port = controller.port
    yield there
    controller.stop()


def self_signed(path: Path) -> Path:
    """A certificate for this machine, and its key, in one file; nobody vouches for it."""
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
