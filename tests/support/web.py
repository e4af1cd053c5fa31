"""A small web server on a real socket, for answers that no well-meaning MLflow server gives."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answers = Mapping[str, tuple[int, str]]


@dataclass
class Website:
    """Where it is, and what it was asked: path, and the credentials that came along."""

    address: str
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def website(answers: Answers, *, otherwise: tuple[int, str] = (404, "not found")) -> Iterator[Website]:
    """Answers each path (without its query) by status and text."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = self.path.split("?")[0]
            site.asked.append((path, self.headers["Authorization"]))
            status, text = answers.get(path, otherwise)
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Website(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield site
        server.shutdown()
