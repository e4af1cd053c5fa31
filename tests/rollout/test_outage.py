"""The API server goes away in the middle of a rollout, and comes back."""

import os
import signal
import subprocess
import threading
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
    """A control plane that nobody else uses, since it is stopped and killed here."""
    folder = tmp_path_factory.mktemp("kube")
    try:
        start_control_plane(control_plane_scripts, folder)
        start_node(control_plane_scripts, folder)
        yield folder / "kubeconfig"
    finally:
        stop_control_plane(control_plane_scripts, folder)


@pytest.fixture
def restarting(own_cluster: Path) -> Iterator[Namespace]:
    """A Deployment whose new pods need some seconds to be ready."""
    with namespace(own_cluster) as found:
        found.add(deployment(NAME, replicas=2))
        found.annotate_template(NAME, ready_after="8")
        found.ready(NAME, 2)
        assert eventually(lambda: len(found.pods(NAME)) == 2)
        yield found


def restart(specialists: Namespace, access: Path, heard: list[str], timeout_s: float) -> str:
    changes = {"kubeconfig": access, "kubernetes_timeout_s": 1, "rollout_timeout_s": timeout_s}
    settings = Settings(**cluster_settings(specialists, **changes))
    with kubernetes_of(settings).cluster() as cluster:
        target = Target.of(settings, "technical", cluster, heard.append)
        return Restarter(target, assert_lock=lambda: None).restart("6", "run-1", denied=lambda: False).status


def stopped(kubeconfig: Path) -> Callable[[], None]:
    """Freeze the API server; it takes connections and says nothing."""
    pid = pid_of(kubeconfig, "apiserver")
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def killed(kubeconfig: Path) -> Callable[[], None]:
    """Kill the API server; its port is closed."""
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
    """Without an API server; it is back afterwards, whatever happened meanwhile."""
    again = out_of_order(kubeconfig)
    try:
        yield
    finally:
        again()


def phases(specialists: Namespace) -> list[str]:
    """Of the pods before the restart and after it."""
    return [one.status.phase for one in specialists.pods(NAME)]


def wait_for_the_restart(specialists: Namespace) -> None:
    assert eventually(lambda: VERSION in specialists.annotations(NAME))


@pytest.mark.parametrize(
    ("out_of_order", "seconds"), [pytest.param(killed, 20, marks=pytest.mark.servers), (stopped, 6)]
)
def test_an_api_server_that_goes_away_in_the_middle_is_waited_for(
    restarting: Namespace, tmp_path: Path, out_of_order: Callable[[Path], Callable[[], None]], seconds: float
):
    heard: list[str] = []
    access = restarting.user(tmp_path, *ENOUGH)
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(restart, restarting, access, heard, 240)
        # Its progress is told once it is waited for: from then on an outage is a matter of patience. The stand-in
        # node is left to tell what its pods do until they run; what is cut off in the middle of that, it never tells.
        assert eventually(lambda: bool(heard))
        assert eventually(lambda: phases(restarting) == ["Running"] * 4)
        with away(out_of_order, restarting.kubeconfig):
            time.sleep(seconds)
            assert not outcome.done()
        assert outcome.result() == "rolled out"
    assert any("cannot be reached" in one and "Trying again" in one for one in heard)
    assert restarting.annotations(NAME)[VERSION] == "6"


def test_an_api_server_that_stays_away_ends_the_waiting(restarting: Namespace):
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(restart, restarting, restarting.kubeconfig, [], 3)
        wait_for_the_restart(restarting)
        again = stopped(restarting.kubeconfig)
        threading.Timer(6, again).start()
        with pytest.raises(KubernetesUnavailable, match="cannot be reached"):
            outcome.result(timeout=5.5)
