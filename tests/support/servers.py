"""Real MLflow servers for tests, each in a process of its own."""

import os
import signal
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.ports import free_port
from tests.support.progress import announce

SCRIPTS = Path(sysconfig.get_path("scripts"))
_START_TIMEOUT_S = 300


@contextmanager
def mlflow_server(
    folder: Path, *, program: Path = SCRIPTS / "mlflow", port: int | None = None, artifact_root: str | None = None
) -> Iterator[str]:
    """Yields the address of an MLflow server that keeps its database and artifacts in `folder`.

    With `artifact_root` it keeps no artifacts: clients write them there themselves.
    """
    announce("an MLflow server")
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    if artifact_root:
        command += ["--no-serve-artifacts", "--default-artifact-root", artifact_root]
    else:
        command += ["--artifacts-destination", str(folder / "artifacts")]
    address = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("a") as log:
        # These tests need no jobs of the server, and it would start eight processes for them.
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        _wait_until_ready(address, server, folder / "server.log")
        yield address
    finally:
        end_group(server)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the workers that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(f"{address}/version", timeout=2):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the MLflow server did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.1)
