"""A separate mongod, for what the shared one cannot show: passwords, a standalone server, a sudden end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from resources.embedded_mongo import find_mongod
from resources.mongo import Mongo
from tests.support.ports import free_port
from tests.support.processes import eventually

USER = "nhm"
PASSWORD = "s3cret-word"  # noqa: S105 - of a server that lives for one test


@dataclass
class OwnMongod:
    """A mongod that can be killed and started again. `uri` contains user and password if it requires them."""

    command: list[str]
    port: int
    uri: str

    def start(self) -> None:
        """Start it on its earlier data, and wait until it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        assert eventually(lambda: _answers(self)), "the test's own mongod does not start"

    def kill(self) -> None:
        """Kill it with SIGKILL, like a crash."""
        self.process.kill()
        self.process.wait()


@contextmanager
def lone_mongod(folder: Path, *options: str) -> Iterator[OwnMongod]:
    """A standalone mongod: no replica set, so no snapshots."""
    folder.mkdir(parents=True)
    port = free_port()
    command = [find_mongod(), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", *options]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false", "--wiredTigerCacheSizeGB", "0.25"]
    # Their folders are in memory: 200 MB less of it for each.
    command += ["--wiredTigerEngineConfigString", "log=(prealloc=false)"]
    server = OwnMongod(command, port, f"mongodb://127.0.0.1:{port}")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def mongod_with_password(folder: Path) -> Iterator[OwnMongod]:
    """A mongod that requires USER and PASSWORD."""
    with lone_mongod(folder, "--auth") as server:
        with MongoClient(server.uri) as client:
            client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
        server.uri = f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{server.port}/?authSource=admin"
        yield server


def _answers(server: OwnMongod) -> bool:
    assert server.process.poll() is None, "the test's own mongod has ended"
    try:
        with MongoClient(server.uri, serverSelectionTimeoutMS=200) as client:
            return bool(client.admin.command("ping")["ok"])
    except PyMongoError:
        return False


def mongo(uri: str, *, timeout_s: float = 3.0) -> Mongo:
    """The platform's client of a server."""
    return Mongo(uri=uri, home=Path("unused"), database="hive", timeout_s=timeout_s)
