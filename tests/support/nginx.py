"""The read-only address of MLflow: a real nginx with the configuration of the manifests."""

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

CONFIGURATION = K8S / "components" / "mlflow-read-only" / "nginx.conf"


def is_installed() -> bool:
    """Whether this machine has nginx."""
    return shutil.which("nginx") is not None


@contextmanager
def read_only(mlflow: str, folder: Path) -> Iterator[str]:
    """The address of an nginx before this MLflow server."""
    announce("nginx")
    port, file = free_port(), folder / "nginx.conf"
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIGURATION.read_text().replace("${MLFLOW_TRACKING_URI}", mlflow)
    text = text.replace("listen 5000;", f"listen 127.0.0.1:{port};").replace("/tmp/", f"{folder}/")  # noqa: S108
    # The container sees its log on standard output, and its user owns the files.
    file.write_text(text.replace("/dev/stdout", str(folder / "requests")))
    folder.chmod(0o777)
    command = ["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off; master_process off;"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
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
