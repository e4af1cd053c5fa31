"""The code server of `nhm dev`, for its webserver and its daemon. `python -m nhm_assets.commands.code_server SOCKET`.

Without it, each of the two would have one of its own, the daemon a new one every minute, and each run would be a new
Python that imports all libraries again. Here, runs are forked from a process that has imported them.
"""

import sys
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running

from nhm_assets.domain.dagster_internals import serve_code
from nhm_assets.domain.dagster_names import CODE_LOCATION
from nhm_assets.runs.forked_workers import SUPPORTED

_DEFINITIONS = ("--module-name", "nhm_assets.definitions", "--location-name", CODE_LOCATION)
_WARM = "nhm_assets.commands.warm_process"


def main(socket: str, *options: str) -> None:
    """Serve until this process is interrupted.

    Args:
        socket: path of the socket file, which it makes.
        options: of `dagster api grpc`.
    """
    context = get_context("forkserver" if SUPPORTED else "spawn")
    if SUPPORTED:
        context.set_forkserver_preload([_WARM])
        # It imports while this process does; otherwise the first run would wait for it.
        ensure_running()
    serve_code(context, ["--socket", socket, *_DEFINITIONS, *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
