"""The API server goes away during a rollout, and comes back."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

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

pytestmark = [pytest.mark.kubernetes, pytest.mark.servers]

NAME = "specialist-technical"
READY_AFTER = "nhm.test/ready-after"


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
    """A Deployment whose new pods are not ready before a test says so."""
    with namespace(own_cluster) as found:
        found.add(deployment(NAME, replicas=2, template={READY_AFTER: "never"}), wait=False)
        assert eventually(lambda: phases(found) == ["Running"] * 2)
        let_be_ready(found)
        found.ready(NAME, 2)
        yield found


def let_be_ready(specialists: Namespace) -> None:
    """Let the pods that are there now become ready."""
    body = {"metadata": {"annotations": {READY_AFTER: "0"}}}
    for pod in specialists.pods(NAME):
        try:
            specialists.core.patch_namespaced_pod(pod.metadata.name, specialists.name, body)
        except ApiException as error:
            # An old pod goes as soon as a new one is ready.
            assert error.status == 404  # noqa: PT017


def restart(specialists: Namespace, access: Path, log: Callable[[str], None], timeout_s: float) -> str:
    changes = {"kubeconfig": access, "kubernetes_timeout_s": 3, "rollout_timeout_s": timeout_s}
    settings = Settings(**cluster_settings(specialists, **changes))
    with kubernetes_of(settings).cluster() as cluster:
        target = Target.of(settings, "technical", cluster, log)
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


def answers(specialists: Namespace) -> bool:
    """Whether the API server is back."""
    try:
        return bool(specialists.pods(NAME))
    except (ApiException, HTTPError):
        return False


def phases(specialists: Namespace) -> list[str]:
    """Of all pods, old and new."""
    return [one.status.phase for one in specialists.pods(NAME)]


@pytest.mark.parametrize("out_of_order", [pytest.param(killed, marks=pytest.mark.exhaustive), stopped])
def test_a_rollout_waits_for_an_api_server_that_goes_away(
    restarting: Namespace, tmp_path: Path, out_of_order: Callable[[Path], Callable[[], None]]
):
    lines: list[str] = []
    access = restarting.user(tmp_path, *ENOUGH)
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(restart, restarting, access, lines.append, 240)
        # The first line is logged when the wait begins, and only then an outage is tolerated. The stand-in node must
        # have reported that its pods run, because it does not repeat a report that was cut off.
        assert eventually(lambda: bool(lines))
        assert eventually(lambda: phases(restarting) == ["Running"] * 4)
        with away(out_of_order, restarting.kubeconfig):
            assert eventually(lambda: any("cannot be reached" in line and "Trying again" in line for line in lines))
            assert not outcome.done()
        assert eventually(lambda: answers(restarting))
        let_be_ready(restarting)
        assert outcome.result() == "rolled out"
    assert restarting.annotations(NAME)[VERSION] == "6"


def test_a_rollout_gives_up_if_the_api_server_stays_away(restarting: Namespace):
    with ExitStack() as outage:

        def begin(_: str) -> None:
            """With the first line, which is logged when the restart was requested and the wait begins."""
            if not begun:
                begun.append(restarting.annotations(NAME)[VERSION])
                outage.enter_context(away(stopped, restarting.kubeconfig))

        begun: list[str] = []
        with pytest.raises(KubernetesUnavailable, match="cannot be reached"):
            restart(restarting, restarting.kubeconfig, begin, 10)
    assert begun == ["6"]
