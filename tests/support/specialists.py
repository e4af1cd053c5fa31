"""Specialists as the tests' counterpart: HTTP servers that answer `/status`, and real ones that load their model.

Run as a program it is one specialist: it loads the version in Production from the registry with the MLflow
client, then answers `/status` and `/predict`.
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
"""Of a pod: the body, what the body says, or a function that answers by itself."""


def status(**changes: Any) -> dict[str, Any]:
    """What a healthy specialist of today answers; named details are changed, None leaves one out."""
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
    """What pods answer, by their address; `otherwise` is for all that are not named."""

    address: str
    otherwise: Answer
    by_pod: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def status_url(self) -> str:
        """For SPECIALIST_STATUS_URL."""
        return f"{self.address}/{{specialist}}/{{pod_ip}}/status"


@contextmanager
def answering(otherwise: Answer) -> Iterator[Answers]:
    """A server that answers for every pod that only pretends to run."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # As SPECIALIST_STATUS_URL names it, or as the API server's proxy asks the pod itself.
            _, specialist, pod, _ = self.path.split("/") if self.path != "/status" else ("", "technical", "", "")
            answers.asked.append(pod)
            answer = answers.by_pod.get(pod, answers.otherwise)
            if callable(answer):
                answer(self)
                return
            said = answer if isinstance(answer, bytes) else {**answer, "specialist_type": specialist}
            reply(self, said)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:  # noqa: S104 - pods share this machine's address
        server.daemon_threads = True
        answers = Answers(f"http://127.0.0.1:{server.server_port}", otherwise)
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield answers
        server.shutdown()


def reply(handler: BaseHTTPRequestHandler, said: Any, code: int = 200) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Takes the request and says nothing for a while."""
    time.sleep(10)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Says one byte at a time, so that no time limit between two bytes is ever reached."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(50):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.2)


def breaking_off(handler: BaseHTTPRequestHandler) -> None:
    """Announces more than it says."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def unavailable(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, b"starting", code=503)


def serve(specialist: str, port: int, *, tells_version: bool) -> None:
    """One specialist: the version that was in Production at the start, until it is restarted."""
    import mlflow.pyfunc
    import pandas as pd

    uri = f"models:/{specialist}-evaluator/Production"
    model, fault = None, []
    try:
        model = mlflow.pyfunc.load_model(uri)
    except Exception as error:  # noqa: BLE001 - like a specialist, it says so and runs on
        fault = [str(error)[:200]]
    run_id = {"model_run_id": model.metadata.run_id} if model and tells_version else {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            loaded = "True" if model else "False"
            state = "SERVING" if model else "NOT_SERVING"
            said = status(
                model_loaded=loaded, status=state, specialist_type=specialist, degraded_reasons=fault, **run_id
            )
            reply(self, said)

        def do_POST(self) -> None:
            rows = pd.DataFrame(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), dtype="float64")
            reply(self, model.predict(rows).tolist())

        def log_message(self, *_: object) -> None:
            """Nothing in the log."""

    while True:
        try:
            server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - pods share this machine's address
        except OSError:
            # The pod before, which has the same address here, is still ending.
            time.sleep(0.1)
        else:
            server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), tells_version="--tells-version" in sys.argv)
