"""What `kind_smoke --dry-node` adds to a control plane without containers: the servers, and manifests that name them.

The node there runs the pods of Jobs as processes of this machine, and only says that others run. So MongoDB, MLflow and
an answer for the specialists run here, and Dagster's database is a file.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import yaml

from resources.embedded_mongo import embedded_mongod

Manifest = dict[str, Any]

_OLDER: Final = {
    ("batch/v1", "CronJob"): "batch/v1beta1",
    ("policy/v1", "PodDisruptionBudget"): "policy/v1beta1",
}
"""Kinds that a server 1.20 knows only in an older API version."""
_MLFLOW_PORT: Final = 5055
_START_S: Final = 120


@dataclass(frozen=True)
class Dry:
    """What the steps need: the file to apply, and the address for the Secret of MongoDB."""

    manifests: Path
    mongodb_uri: str


@contextmanager
def dry_platform(folder: Path, overlay: Path) -> Iterator[Dry]:
    """The servers, as long as the block runs, and the manifests of an overlay for them, in this folder."""
    with embedded_mongod(folder / "mongodb") as mongodb, _mlflow(folder / "mlflow") as mlflow, _status() as status:
        done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, check=True)  # noqa: S603, S607
        settings = {"MLFLOW_TRACKING_URI": mlflow, "SPECIALIST_STATUS_URL": status}
        manifests = adapted(list(yaml.safe_load_all(done.stdout)), settings, folder / "dagster")
        path = folder / "rendered.yaml"
        path.write_text(yaml.safe_dump_all(manifests))
        yield Dry(path, mongodb)


def adapted(manifests: list[Manifest], settings: dict[str, str], dagster: Path) -> list[Manifest]:
    """The manifests for an old server, with other settings, and Dagster's database in a folder."""
    found = [for_old_server(one) for one in manifests]
    for one in found:
        if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "nhm-settings"):
            one["data"] |= settings
        if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "nhm-dagster"):
            one["data"]["dagster.yaml"] = in_sqlite(one["data"]["dagster.yaml"], dagster)
    return found


def in_sqlite(dagster_yaml: str, folder: Path) -> str:
    """The same configuration with the storage in SQLite."""
    config = yaml.safe_load(dagster_yaml)
    folder.mkdir(parents=True, exist_ok=True)
    config["storage"] = {"sqlite": {"base_dir": str(folder)}}
    return str(yaml.safe_dump(config))


def for_old_server(manifest: Manifest) -> Manifest:
    """The same object for Kubernetes 1.20, without newer API versions and fields, and without gRPC probes."""
    adapted = copy.deepcopy(manifest)
    adapted["apiVersion"] = _OLDER.get((adapted["apiVersion"], adapted["kind"]), adapted["apiVersion"])
    spec = adapted.get("spec", {})
    if adapted["kind"] == "CronJob":
        spec.pop("timeZone", None)
    if adapted["kind"] == "PodDisruptionBudget":
        del spec["unhealthyPodEvictionPolicy"]
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
    for container in template.get("spec", {}).get("containers", ()):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "grpc" in container.get(probe, {}):
                port = container[probe].pop("grpc")["port"]
                container[probe]["tcpSocket"] = {"port": port}
    return adapted


@contextmanager
def _mlflow(folder: Path) -> Iterator[str]:
    """The address of an MLflow server of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{_MLFLOW_PORT}"
    program = Path(sys.executable).with_name("mlflow")
    command = [program, "server", "--host", "127.0.0.1", "--port", str(_MLFLOW_PORT), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)  # noqa: S603
    try:
        for _ in range(_START_S):
            with suppress(OSError), urllib.request.urlopen(f"{address}/version", timeout=2):  # noqa: S310
                break
            time.sleep(1)
        else:
            raise SystemExit(
                f"MLflow did not start on port {_MLFLOW_PORT} within {_START_S} s: see {folder}/server.log"
            )
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@contextmanager
def _status() -> Iterator[str]:
    """The address of an answer that says what a specialist with a model says."""
    details = {"model_loaded": True, "mlflow_connected": True, "ledger_connected": True}
    text = json.dumps({"status": "SERVING", "details": details}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/status"
        server.shutdown()
