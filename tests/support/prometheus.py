"""Prometheus and its tool, and the alerts as they read them."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.support.manifests import K8S, documents
from tests.support.ports import free_port

ALERTS = K8S / "components" / "monitoring" / "alerts.yaml"


def rule_groups() -> dict[str, Any]:
    """The alerts in the form of a rule file."""
    (manifest,) = documents(ALERTS)
    return dict(manifest["spec"])


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in rule_groups()["groups"] for rule in group["rules"]]


def required(program: str) -> str:
    """The path of a program of the Debian package `prometheus`. Skips the test where it is not installed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"`{program}` is not installed (Debian package prometheus)")
    return path


def promtool(*arguments: object) -> str:
    """What promtool prints; it must succeed."""
    command = [required("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression results in now."""
        result = self.get("query", query=expression)
        assert result["resultType"] == "vector", result
        return list(result["result"])

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing, with their texts."""
        return list(self.get("alerts")["alerts"])


@contextmanager
def prometheus(folder: Path, *, targets: list[str], groups: dict[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these targets, every two seconds, and evaluates these alerts."""
    program, port = required("prometheus"), free_port()
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    configuration = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "nhm-exporter", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    arguments = [
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, folder / "log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=120)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while True:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
