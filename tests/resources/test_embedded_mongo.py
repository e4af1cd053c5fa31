"""The embedded mongod: one per folder, running while somebody uses it, stopped with the last user."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from resources.embedded_mongo import embedded_mongod, require_runnable
from resources.errors import EmbeddedMongoError
from tests.support.processes import ROOT, curt_port, eventually, processes_naming, silent_port, talkers

USER = """
import sys
from pathlib import Path
from resources.embedded_mongo import embedded_mongod
print("ready", flush=True)
sys.stdin.readline()
with embedded_mongod(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.readline()
print("left", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mongodb"


def mongods_on(folder: Path) -> list[psutil.Process]:
    return [process for process in processes_naming(str(folder / "data")) if process.info["name"] == "mongod"]


def port_of(uri: str) -> int:
    return int(parse_uri(uri)["nodelist"][0][1])


def write(uri: str, text: str) -> None:
    with MongoClient(uri) as client:
        client.hive.notes.insert_one({"text": text})


def notes(uri: str) -> list[str]:
    with MongoClient(uri) as client:
        return [one["text"] for one in client.hive.notes.find()]


@pytest.mark.servers
def test_two_users_share_one_mongod_and_the_last_one_stops_it(folder: Path):
    with embedded_mongod(folder) as first:
        with embedded_mongod(folder) as second:
            assert second == first
            assert len(mongods_on(folder)) == 1
        write(first, "still there")
        assert len(mongods_on(folder)) == 1
    assert mongods_on(folder) == []
    assert eventually(lambda: processes_naming(str(folder)) == [])


@pytest.mark.servers
def test_data_survive_until_the_next_start(folder: Path):
    with embedded_mongod(folder) as before:
        write(before, "kept")
    with embedded_mongod(folder) as after:
        assert notes(after) == ["kept"]


@pytest.mark.servers
def test_a_user_that_does_not_wait_leaves_mongod_to_its_keeper_and_the_next_one_waits_for_its_end(folder: Path):
    with embedded_mongod(folder, waits=False) as before:
        write(before, "kept")
    with embedded_mongod(folder, waits=False) as after:
        assert notes(after) == ["kept"]
        assert len(mongods_on(folder)) == 1
    assert eventually(lambda: processes_naming(str(folder)) == [])


@pytest.mark.servers
@pytest.mark.parametrize("stranger", [curt_port, pytest.param(silent_port, marks=pytest.mark.exhaustive)])
def test_mongod_starts_on_another_port_if_its_last_one_is_taken(
    folder: Path, stranger: Callable[[int], AbstractContextManager[int]]
):
    with embedded_mongod(folder) as before:
        write(before, "kept")
    with stranger(port_of(before)), embedded_mongod(folder) as after:
        assert after != before
        assert notes(after) == ["kept"]
        write(after, "and writable")


@pytest.mark.servers
def test_a_user_that_is_killed_leaves_no_process_behind(folder: Path):
    with talkers(1, USER, folder) as (user,):
        user.hear()
        user.go_on()
        user.hear()
        assert len(mongods_on(folder)) == 1
        user.process.send_signal(signal.SIGKILL)
        # The user's own command line names the folder too, so it must be gone as well.
        assert user.process.wait() == -signal.SIGKILL
        assert eventually(lambda: processes_naming(str(folder)) == [])


@pytest.mark.servers
def test_mongod_ends_with_a_killed_keeper_and_the_next_user_finds_the_data(folder: Path):
    with embedded_mongod(folder) as uri:
        write(uri, "kept")
        (mongod,) = mongods_on(folder)
        mongod.parent().kill()
        assert eventually(lambda: mongods_on(folder) == [])
        with embedded_mongod(folder) as again:
            assert notes(again) == ["kept"]
    assert mongods_on(folder) == []


@pytest.mark.servers
def test_a_user_right_after_the_keeper_was_killed_waits_for_the_old_mongod_to_end(folder: Path):
    with embedded_mongod(folder):
        (mongod,) = mongods_on(folder)
        keeper = mongod.parent()
        keeper.kill()
        assert eventually(lambda: keeper.status() == psutil.STATUS_ZOMBIE)
        with embedded_mongod(folder) as again:
            write(again, "writable")
            assert len(mongods_on(folder)) == 1


@pytest.mark.servers
def test_the_keeper_ends_with_a_killed_mongod_and_the_next_user_gets_a_new_one(folder: Path):
    with embedded_mongod(folder) as uri:
        write(uri, "kept")
        (mongod,) = mongods_on(folder)
        mongod.kill()
        assert eventually(lambda: processes_naming(str(folder)) == [])
        with embedded_mongod(folder) as again:
            assert notes(again) == ["kept"]


@pytest.mark.servers
def test_users_that_start_at_the_same_time_share_one_mongod(folder: Path):
    with talkers(4, USER, folder) as users:
        assert [user.hear() for user in users] == ["ready"] * 4
        for user in users:
            user.go_on()
        assert len({user.hear() for user in users}) == 1
        assert len(mongods_on(folder)) == 1


@pytest.mark.servers
def test_the_last_user_ends_promptly_even_if_the_process_that_started_mongod_still_runs(folder: Path):
    with talkers(1, USER, folder) as (first,):
        first.hear()
        first.go_on()
        first.hear()
        with embedded_mongod(folder):
            first.go_on()
            assert first.hear() == "left"
            assert len(mongods_on(folder)) == 1
            leaving = time.monotonic()
        # Who waits for nothing that comes gives up after a minute.
        assert time.monotonic() - leaving < 50
        assert mongods_on(folder) == []
        assert first.process.poll() is None


@pytest.mark.servers
def test_users_that_constantly_come_and_go_always_find_a_working_mongod(folder: Path):
    program = """
import sys, time
from pathlib import Path
from pymongo import MongoClient
from resources.embedded_mongo import embedded_mongod
for round in range(4):
    with embedded_mongod(Path(sys.argv[1])) as uri, MongoClient(uri) as client:
        client.hive.rounds.insert_one({})
print("done", flush=True)
sys.stdin.readline()
"""
    with talkers(3, program, folder) as users:
        assert [user.hear() for user in users] == ["done"] * 3
    assert eventually(lambda: processes_naming(str(folder)) == [])
    with embedded_mongod(folder) as uri, MongoClient(uri) as client:
        assert client.hive.rounds.count_documents({}) == 12


@pytest.mark.servers
def test_a_port_file_that_a_full_disk_left_empty_does_not_keep_mongod_from_starting(folder: Path):
    folder.mkdir()
    (folder / "port").touch()
    with embedded_mongod(folder) as uri:
        write(uri, "writable")


@pytest.mark.servers
def test_a_mongod_that_cannot_start_is_an_error_that_names_folder_and_log(folder: Path):
    folder.mkdir()
    (folder / "data").write_text("a file where the data folder should be")
    with pytest.raises(EmbeddedMongoError) as caught, embedded_mongod(folder):
        pass
    assert str(folder) in str(caught.value)
    assert str(folder / "mongod.log") in str(caught.value)


def test_mongod_listens_only_on_the_loopback_address(mongod_uri: str, shared_folder: Path):
    (mongod,) = mongods_on(shared_folder / "mongod")
    addresses = {one.laddr.ip for one in mongod.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_only_the_owner_can_read_its_data(mongod_uri: str, shared_folder: Path):
    assert (shared_folder / "mongod").stat().st_mode & 0o077 == 0
    assert (shared_folder / "mongod" / "data").stat().st_mode & 0o077 == 0


def test_it_supports_snapshot_reads(database: Database[dict[str, Any]]):
    database.notes.insert_one({"_id": 1})
    with database.client.start_session(snapshot=True) as session:
        assert database.notes.count_documents({}, session=session) == 1
        database.notes.insert_one({"_id": 2})
        assert database.notes.count_documents({}, session=session) == 1
    assert database.notes.count_documents({}) == 2


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def make(script: str) -> str:
        path = tmp_path / "bin" / "mongod"
        path.parent.mkdir()
        path.write_text(script)
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("library", "package"),
    [("libcurl.so.4", "libcurl4"), ("libcrypto.so.3", "libssl3"), ("liblzma.so.5", "liblzma5")],
)
def test_a_missing_shared_library_is_an_error_that_names_the_debian_package(
    program: Callable[[str], str], library: str, package: str
):
    complaint = f"mongod: error while loading shared libraries: {library}: cannot open shared object file"
    mongod = program(f'#!/bin/sh\necho "{complaint}" >&2\nexit 127\n')
    with pytest.raises(EmbeddedMongoError, match=rf"{library}. Run apt-get install {package}, or set MONGODB_URI"):
        require_runnable(mongod)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('#!/bin/sh\necho "Illegal instruction" >&2\nexit 132\n', "Illegal instruction"),
        ("#!/bin/sh\nexit 1\n", "no message"),
        ("\x7fELF of another machine", "mongod"),
    ],
)
def test_a_mongod_that_does_not_run_here_is_an_error_with_its_own_message(
    program: Callable[[str], str], script: str, reason: str
):
    mongod = program(script)
    with pytest.raises(EmbeddedMongoError, match="does not run here") as caught:
        require_runnable(mongod)
    assert reason in str(caught.value)
    assert mongod in str(caught.value)


def test_a_mongod_that_runs_is_no_error(program: Callable[[str], str]):
    require_runnable(program("#!/bin/sh\nexit 0\n"))


def find_in_a_bare_python(search_path: Path) -> subprocess.CompletedProcess[str]:
    """`find_mongod` in a Python without any installed package."""
    return subprocess.run(
        [sys.executable, "-S", "-c", "from resources.embedded_mongo import find_mongod; print(find_mongod())"],
        cwd=ROOT,
        env={"PATH": str(search_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_mongod_the_error_names_the_variable_and_the_extra(tmp_path: Path):
    outcome = find_in_a_bare_python(tmp_path)
    assert outcome.returncode != 0
    last_line = outcome.stderr.splitlines()[-1]
    assert last_line.startswith("resources.errors.EmbeddedMongoError: MONGODB_URI is not set")
    assert "`local`" in last_line
    assert "PATH" in last_line


def test_without_the_extra_the_mongod_on_the_path_is_taken(program: Callable[[str], str]):
    mongod = program("#!/bin/sh\nexit 0\n")
    outcome = find_in_a_bare_python(Path(mongod).parent)
    assert outcome.stdout.strip() == mongod
