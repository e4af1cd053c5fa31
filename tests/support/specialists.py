"""Specialists for tests: HTTP servers that answer `/status`, and real ones that load their model.

Run as a program, this module is one specialist: it loads the version in Production with the MLflow client, then
answers `/status` and `/predict`.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = bytes | Mapping[str, Any] | Callable[[BaseHTTPRequestHandler], None]
"""A pod's answer: the bytes of the body, its JSON, or a function that answers the request itself."""


def status(**changes: Any) -> dict[str, Any]:
    """The answer of a healthy specialist; named details are changed, and None omits one."""
    details = {
        "model_loaded": "True",
        "mlflow_connected": "True",
        "ledger_connected": "True",
        "degraded_reasons": [],
        **{key: value for key, value in changes.items() if key not in ("status", "specialist_type")},
    }
    return {
        "specialist_type": changes.get("specialist_type", "technical"),
        "status": changes.get("status", "SERVING"),
        "details": {key: value for key, value in details.items() if value is not None},
    }


@dataclass
class Answers:
    """The answers of pods, by their address; `otherwise` is the answer of all other pods."""

    address: str
    otherwise: Answer
    by_pod: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def status_url(self) -> str:
        """The value of SPECIALIST_STATUS_URL."""
        return f"{self.address}/{{specialist}}/{{pod_ip}}/status"


@contextmanager
def answering(otherwise: Answer) -> Iterator[Answers]:
    """A server that answers for all pods that only pretend to run."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # The path of SPECIALIST_STATUS_URL, or the pod's own, which the API server's proxy asks for.
            _, specialist, pod, _ = self.path.split("/") if self.path != "/status" else ("", "technical", "", "")
            answers.asked.append(pod)
            answer = answers.by_pod.get(pod, answers.otherwise)
            if callable(answer):
                answer(self)
                return
            reply(self, answer if isinstance(answer, bytes) else {**answer, "specialist_type": specialist})

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:  # noqa: S104 - pods share this machine's address
        server.daemon_threads = True
        answers = Answers(f"http://127.0.0.1:{server.server_port}", otherwise)
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield answers
        server.shutdown()


def reply(handler: BaseHTTPRequestHandler, content: Any, code: int = 200) -> None:
    """Answer a request with bytes, or with anything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Does not answer for a minute."""
    time.sleep(60)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Sends one byte at a time, so no time limit between two bytes is ever reached."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(300):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.2)


def cutting_off(handler: BaseHTTPRequestHandler) -> None:
    """Announces more bytes than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def unavailable(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, b"starting", code=503)


def serve(specialist: str, port: int, *, tells_version: bool) -> None:
    """One specialist: it serves the version that was in Production when it started."""
    import mlflow.pyfunc
    import pandas as pd

    uri = f"models:/{specialist}-evaluator/Production"
    model, fault = None, []
    try:
        model = mlflow.pyfunc.load_model(uri)
    except Exception as error:  # noqa: BLE001 - like a specialist, it reports the error and keeps running
        fault = [str(error)[:200]]
    run_id = {"model_run_id": model.metadata.run_id} if model and tells_version else {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            loaded = "True" if model else "False"
            state = "SERVING" if model else "NOT_SERVING"
            answer = status(
                model_loaded=loaded, status=state, specialist_type=specialist, degraded_reasons=fault, **run_id
            )
            reply(self, answer)

        def do_POST(self) -> None:
            rows = pd.DataFrame(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), dtype="float64")
            reply(self, model.predict(rows).tolist())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    while True:
        try:
            server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - pods share this machine's address
        except OSError:
            # The previous pod, which has the same address here, is still terminating.
            time.sleep(0.1)
        else:
            server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), tells_version="--tells-version" in sys.argv)
