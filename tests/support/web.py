"""A small web server on a real socket, for responses that a working MLflow server never sends."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

Answer = tuple[int, str]
Answers = Mapping[str, Answer | list[Answer]]
"""Path -> status and text. A list gives its answers in turn, one per request, and repeats the last one."""


@dataclass
class Website:
    """The server's address, its requests (path and Authorization header), and the names that clients gave by TLS."""

    address: str
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@contextmanager
def website(
    answers: Answers, *, otherwise: Answer = (404, "not found"), port: int = 0, certificate: Path | None = None
) -> Iterator[Website]:
    """A server that answers each path, without its query, with a status and a text; by default on a free port.

    With a certificate (a PEM file that holds its key too), it answers over TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = self.path.split("?")[0]
            site.asked.append((path, self.headers["Authorization"]))
            response = answers.get(path, otherwise)
            if isinstance(response, list):
                response = response.pop(0) if len(response) > 1 else response[0]
            status, text = response
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    for method in ("GET", "POST", "PATCH"):
        setattr(Handler, f"do_{method}", Handler.answer)
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sni_callback = lambda _socket, name, _context: site.names.append(name)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        site = Website(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield site
        server.shutdown()
