"""A daemon that is killed is an alert within six minutes: real daemon, exporter, Prometheus and rules, in real time."""

import subprocess
from pathlib import Path

import pytest
import requests

from tests.daemon.conftest import NewPlatform
from tests.support.daemon import becomes_true
from tests.support.nhm import NHM
from tests.support.ports import free_port
from tests.support.prometheus import prometheus, rule_groups

SECONDS = 360


@pytest.mark.servers
@pytest.mark.exhaustive
def test_a_killed_daemon_is_an_alert_within_six_minutes_and_none_when_it_is_back(
    new_platform: NewPlatform, tmp_path: Path
):
    platform, port = new_platform(), free_port()
    daemon = platform.start_daemon()
    with (tmp_path / "exporter.log").open("w") as log:
        exporter = subprocess.Popen(
            [NHM, "exporter", "--address", "127.0.0.1", "--port", str(port)],
            env=platform.variables,
            stdout=log,
            stderr=log,
        )
    platform.processes.append(exporter)
    heartbeats = "nhm_daemon_heartbeat_timestamp_seconds"
    assert becomes_true(lambda: heartbeats in metrics(port)), (tmp_path / "exporter.log").read_text()
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus(folder, targets=[f"127.0.0.1:{port}"], groups=rule_groups()) as scraped:

        def firing() -> set[str]:
            stale = [one for one in scraped.alerts() if one["labels"]["alertname"] == "NhmDaemonStale"]
            return {one["labels"]["daemon"] for one in stale if one["state"] == "firing"}

        assert becomes_true(lambda: scraped.query(heartbeats))
        assert firing() == set()
        platform.kill(daemon)
        assert becomes_true(lambda: "SCHEDULER" in firing(), timeout_s=SECONDS, every_s=2)
        platform.start_daemon()
        assert becomes_true(lambda: not firing(), every_s=2)


def metrics(port: int) -> str:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except requests.RequestException:
        return ""
