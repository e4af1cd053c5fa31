"""Which tests one process takes when several run them."""

from xdist.scheduler import LoadScopeScheduling


class ByRoom(LoadScopeScheduling):
    """A file at a time, since its tests share what was costly to set up; but for two rooms.

    Tests of the daemon wait a lot and starve one another: two at a time, one on each kind of instance. Those of the
    manifests share a control plane, in which names are always the same.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file.startswith("tests/daemon/"):
            return f"daemon on {nodeid.rpartition('[')[2]}"
        return "tests/k8s" if file.startswith("tests/k8s/") else file
