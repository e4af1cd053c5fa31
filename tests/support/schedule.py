"""How tests are dealt out to several test processes."""

from collections.abc import Iterable
from typing import Any

from xdist.scheduler import LoadScopeScheduling

FIRST = ("tests/k8s/", "tests/daemon/", "tests/automation/test_thirty_days.py", "tests/rollout/")
"""What takes longest. It starts first, so that the processes finish at about the same time."""


def longest_first(items: list[Any]) -> None:
    """Sort collected tests in place; apart from `FIRST`, their order stays as it is."""
    items.sort(key=lambda item: _position(item.nodeid, FIRST))


def _position(nodeid: str, prefixes: Iterable[str]) -> int:
    positions = [position for position, prefix in enumerate(prefixes) if nodeid.startswith(prefix)]
    return positions[0] if positions else len(FIRST)


class ByFile(LoadScopeScheduling):
    """A process takes a whole file, because its tests share expensive fixtures. Two rooms are different.

    Daemon tests wait most of the time and slow one another down: at most two of them run at once, one on each kind of
    instance. Tests of the manifests share a control plane and use the same names in it, so one process runs them all.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file.startswith("tests/daemon/"):
            return f"daemon on {nodeid.rpartition('[')[2]}"
        return "tests/k8s" if file.startswith("tests/k8s/") else file
