"""The API server goes away during a rollout, and comes back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from nhm_assets.resource_factories import kubernetes_of
from nhm_assets.rollout.restart import VERSION, Restarter
from nhm_assets.rollout.target import Target
from nhm_assets.settings import Settings
from resources.errors import KubernetesUnavailable
from tests.support.kube import (
    ENOUGH,
    Namespace,
    deployment,
    namespace,
    pid_of,
    start_control_plane,
    start_node,
    stop_control_plane,
)
from tests.support.processes import eventually
from tests.support.rollouts import cluster_settings

pytestmark = [pytest.mark.kubernetes, pytest.mark.servers, pytest.mark.timeout(400)]

NAME = "specialist-technical"


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory, control_plane_scripts: Path) -> Iterator[Path]:
    """A control plane of its own, because the tests stop and kill it."""
    folder = tmp_path_factory.mktemp("kube")
    try:
        start_control_plane(control_plane_scripts, folder)
        start_node(control_plane_scripts, folder)
        yield folder / "kubeconfig"
    finally:
        stop_control_plane(control_plane_scripts, folder)


@pytest.fixture
def restarting(own_cluster: Path) -> Iterator[Namespace]:
    """A Deployment whose new pods need eight seconds to be ready."""
    with namespace(own_cluster) as found:
        found.add(deployment(NAME, replicas=2))
        found.annotate_template(NAME, ready_after="8")
        found.ready(NAME, 2)
        assert eventually(lambda: len(found.pods(NAME)) == 2)
        yield found


def restart(specialists: Namespace, access: Path, lines: list[str], timeout_s: float) -> str:
    changes = {"kubeconfig": access, "kubernetes_timeout_s": 1, "rollout_timeout_s": timeout_s}
    settings = Settings(**cluster_settings(specialists, **changes))
    with kubernetes_of(settings).cluster() as cluster:
        target = Target.of(settings, "technical", cluster, lines.append)
        return Restarter(target, assert_lock=lambda: None).restart("6", "run-1", lacks_version=lambda: False).status


def stopped(kubeconfig: Path) -> Callable[[], None]:
    """Suspend the API server: it accepts connections and never answers."""
    pid = pid_of(kubeconfig, "apiserver")
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def killed(kubeconfig: Path) -> Callable[[], None]:
    """Kill the API server: its port is closed."""
    pid = pid_of(kubeconfig, "apiserver")
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    os.kill(pid, signal.SIGKILL)

    def start() -> None:
        pidfile = kubeconfig.parent / "apiserver.pid"
        with (kubeconfig.parent / "apiserver.log").open("a") as log:
            again = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        began = Path(f"/proc/{again.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        pidfile.write_text(f"{again.pid} {began}\n")

    return start


@contextmanager
def away(out_of_order: Callable[[Path], Callable[[], None]], kubeconfig: Path) -> Iterator[None]:
    """Without an API server; afterwards it is back in any case."""
    again = out_of_order(kubeconfig)
    try:
        yield
    finally:
        again()


def phases(specialists: Namespace) -> list[str]:
    """Of all pods, old and new."""
    return [one.status.phase for one in specialists.pods(NAME)]


def wait_for_the_restart(specialists: Namespace) -> None:
    assert eventually(lambda: VERSION in specialists.annotations(NAME))


@pytest.mark.parametrize(
    ("out_of_order", "seconds"), [pytest.param(killed, 20, marks=pytest.mark.exhaustive), (stopped, 6)]
)
def test_a_rollout_waits_for_an_api_server_that_goes_away(
    restarting: Namespace, tmp_path: Path, out_of_order: Callable[[Path], Callable[[], None]], seconds: float
):
    lines: list[str] = []
    access = restarting.user(tmp_path, *ENOUGH)
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(restart, restarting, access, lines, 240)
        # The first line is logged when the wait begins, and only then an outage is tolerated. The stand-in node must
        # have reported that its pods run, because it does not repeat a report that was cut off.
        assert eventually(lambda: bool(lines))
        assert eventually(lambda: phases(restarting) == ["Running"] * 4)
        with away(out_of_order, restarting.kubeconfig):
            time.sleep(seconds)
            assert not outcome.done()
        assert outcome.result() == "rolled out"
    assert any("cannot be reached" in line and "Trying again" in line for line in lines)
    assert restarting.annotations(NAME)[VERSION] == "6"


def test_a_rollout_gives_up_if_the_api_server_stays_away(restarting: Namespace):
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(restart, restarting, restarting.kubeconfig, [], 10)
        wait_for_the_restart(restarting)
        with away(stopped, restarting.kubeconfig), pytest.raises(KubernetesUnavailable, match="cannot be reached"):
            outcome.result(timeout=60)
