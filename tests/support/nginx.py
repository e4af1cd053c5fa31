"""The read-only address of MLflow: a real nginx with the configuration of the manifests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.support.manifests import K8S
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.progress import announce

DOOR = K8S / "components" / "mlflow-read-only"


def is_installed() -> bool:
    """Whether this machine has nginx, and what the container starts it with."""
    return all(map(shutil.which, ("nginx", "envsubst")))


@contextmanager
def read_only(mlflow: str, folder: Path, **settings: str) -> Iterator[str]:
    """The address of an nginx before this MLflow server; `settings` are further variables of its container."""
    announce("nginx")
    port, rules = free_port(), folder / "door"
    rules.mkdir(parents=True, exist_ok=True)
    # The container sees its log on standard output, and its user owns the files.
    replaced = {
        "listen 5000;": f"listen 127.0.0.1:{port};",
        "/tmp/": f"{folder}/",  # noqa: S108
        "/etc/door/": f"{rules}/",
        "/dev/stdout": str(folder / "requests"),
        "exec nginx": f"exec nginx -p {folder}",
        "daemon off;": "daemon off; master_process off;",
    }
    for file in (DOOR / "nginx.conf", DOOR / "start.sh"):
        text = file.read_text()
        for old, new in replaced.items():
            text = text.replace(old, new)
        (rules / file.name).write_text(text)
    folder.chmod(0o777)
    variables = {"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": mlflow, **settings}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["sh", str(rules / "start.sh")], stdout=log, stderr=log, env=variables)
    try:
        address = f"http://127.0.0.1:{port}"
        assert eventually(lambda: _answers(f"{address}/nginx-health")), (folder / "log").read_text()
        yield address
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
