"""A small web server on a real socket, for answers that no well-meaning MLflow server gives."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answer = tuple[int, str]
Answers = Mapping[str, Answer | list[Answer]]
"""Path -> status and text; of a list each answer is given once, in turn, and the last one from then on."""


@dataclass
class Website:
    """Where it is, and what it was asked: path, and the credentials that came along."""

    address: str
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def website(answers: Answers, *, otherwise: Answer = (404, "not found")) -> Iterator[Website]:
    """Answers each path (without its query) by status and text."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = self.path.split("?")[0]
            site.asked.append((path, self.headers["Authorization"]))
            found = answers.get(path, otherwise)
            if isinstance(found, list):
                found = found.pop(0) if len(found) > 1 else found[0]
            status, text = found
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    for method in ("GET", "POST", "PATCH"):
        setattr(Handler, f"do_{method}", Handler.answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Website(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield site
        server.shutdown()
