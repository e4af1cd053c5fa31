"""How tests are dealt out to several test processes."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

FIRST = (
    "tests/k8s/",
    "tests/daemon/",
    "tests/test_doc_commands.py",
    "tests/browser/",
    "tests/test_field.py",
    # xdist queues one more file behind a single long test, so a short one comes next.
    "tests/domain/",
    "tests/automation/test_thirty_days.py",
    "tests/commands/",
    "tests/rollout/",
    "tests/test_serving_client.py",
    "tests/automation/",
    "tests/promotion/",
    "tests/training/",
    "tests/steps/",
)
"""What starts first: the longest tests, so that all processes finish at about the same time."""


def longest_first(items: list[Any]) -> None:
    """Sort collected tests in place. Those that `FIRST` does not name keep their order."""
    items.sort(key=lambda item: _position(item.nodeid))


def _position(nodeid: str) -> int:
    return next((position for position, prefix in enumerate(FIRST) if nodeid.startswith(prefix)), len(FIRST))


_ON_POSTGRES = ("tests/instance/test_claims.py", "tests/instance/test_postgres_storage.py")


class ByFile(LoadScopeScheduling):
    """A process takes a whole file, because its tests share expensive fixtures. Some share more.

    Daemon tests wait most of the time and slow one another down: at most two of them run at once, one on each kind of
    instance. Tests of the manifests share a control plane and use the same names in it, so one process runs them all.
    Short tests on PostgreSQL share a server.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file.startswith("tests/daemon/"):
            return "daemon on PostgreSQL" if "postgres" in nodeid.lower() else "daemon on SQLite"
        if file in _ON_POSTGRES:
            return "PostgreSQL"
        return "tests/k8s" if file.startswith("tests/k8s/") else file
