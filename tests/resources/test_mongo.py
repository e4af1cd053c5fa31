"""MongoDB: errors are clear and contain no secrets."""

import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from resources.errors import EmbeddedMongoError, MongoRefused, MongoUnavailable, ServiceError
from resources.mongo import Mongo
from tests.support.mongod import PASSWORD, USER, OwnMongod, mongo, mongod_with_password
from tests.support.ports import free_port
from tests.support.processes import silent_port

TIMEOUT_S = 3.0
SLACK_S = 20.0
"""For a busy machine; what MongoDB's client does without a timeout of ours takes 30 seconds."""


def refusal(use: Callable[[], Any], kind: type[ServiceError] = MongoUnavailable) -> str:
    """The error that the user sees, once it is certain that nothing printable contains the password."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        use()
    assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def enter(client: Mongo) -> None:
    with client.database():
        pytest.fail("the body ran")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMongod]:
    with mongod_with_password(tmp_path_factory.mktemp("guarded") / "data") as server:
        yield server


def test_reads_go_to_the_primary_whatever_the_address_prefers(mongod_uri: str):
    with mongo(f"{mongod_uri}&readPreference=secondaryPreferred").database() as database:
        assert database["model_audit_log"].read_preference == ReadPreference.PRIMARY


def test_a_closed_port_is_unavailable_with_the_address_and_what_to_do():
    port = free_port()
    message = refusal(lambda: enter(mongo(f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/?authSource=admin")))
    assert f"mongodb://{USER}:***@127.0.0.1:{port}/" in message
    assert "cannot be reached" in message
    assert "Check MONGODB_URI" in message


def test_a_server_that_never_answers_is_unavailable_within_the_timeout():
    with silent_port() as port:
        assert "cannot be reached" in refusal(lambda: enter(mongo(f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}")))


def test_a_host_that_does_not_exist_is_unavailable():
    message = refusal(lambda: enter(mongo(f"mongodb://{USER}:{PASSWORD}@no-such-host.invalid:27017")))
    assert "no-such-host.invalid" in message
    assert "cannot be reached" in message


def test_the_right_password_lets_us_in(guarded: OwnMongod):
    with mongo(guarded.uri).database() as database:
        assert database.command("ping")["ok"] == 1


@pytest.mark.parametrize("wrong", ["not-it", f"{PASSWORD}x"])
def test_a_wrong_password_is_reported_as_refused_credentials(guarded: OwnMongod, wrong: str):
    uri = f"mongodb://{USER}:{wrong}@127.0.0.1:{guarded.port}/?authSource=admin"
    with pytest.raises(MongoRefused, match="refuses the credentials") as caught:
        enter(mongo(uri))
    assert "Check user, password, authSource" in str(caught.value)
    assert f"127.0.0.1:{guarded.port}" in str(caught.value)
    assert wrong not in "".join(traceback.format_exception(caught.value))


def test_missing_permissions_are_reported_as_refused_credentials(guarded: OwnMongod):
    def read() -> None:
        with mongo(f"mongodb://127.0.0.1:{guarded.port}").database() as database:
            database.feedback.find_one()

    assert "refuses the credentials" in refusal(read, MongoRefused)


def test_other_refusals_of_the_server_are_not_reported_as_refused_credentials(lone: OwnMongod):
    with pytest.raises(OperationFailure, match="nosuch"), mongo(lone.uri).database() as database:
        database.feedback.find_one({"$nosuch": 1})


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://{USER}:{PASSWORD}@ss@127.0.0.1:27017",
        f"mongodb://{USER}:{PASSWORD}/x@127.0.0.1:27017",
        f"mongodb://{USER}:{PASSWORD}:x@127.0.0.1:27017",
        f"mongodb://{USER}:{PASSWORD}%zz@127.0.0.1:27017",
        f"mongodb://{USER}:{PASSWORD}@127.0.0.1:port",
        f"mongodb://{USER}:{PASSWORD}@",
        f"mongodb://{USER}:{PASSWORD}",
        f"mongodb//{USER}:{PASSWORD}@127.0.0.1",
        f"http://{USER}:{PASSWORD}@127.0.0.1",
        f"{USER}:{PASSWORD}@127.0.0.1",
        f"mongodb://{USER}@127.0.0.1/?appName={PASSWORD}",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_its_password(uri: str):
    assert refusal(lambda: enter(mongo(uri)), MongoRefused).startswith("MONGODB_URI is not a usable MongoDB address")


def test_the_address_and_the_representation_hide_the_password():
    client = mongo(f"mongodb://{USER}:{PASSWORD}@host/?authSource=admin")
    assert client.address == f"mongodb://{USER}:***@host/"
    assert PASSWORD not in repr(client)


def fill(client: Mongo, count: int = 3000) -> None:
    with client.database() as database:
        database.feedback.insert_many({"_id": number, "notes": "x" * 500} for number in range(count))


@pytest.mark.servers
@pytest.mark.parametrize("batch_size", [100, 2900], ids=["while a scan runs", "before the next query"])
def test_a_server_that_is_killed_during_a_scan_is_unavailable_within_the_timeout(tmp_path: Path, batch_size: int):
    with mongod_with_password(tmp_path / "data") as server:
        client = mongo(server.uri)
        fill(client)
        seen = []

        def scan() -> None:
            with client.database() as database:
                for document in database.feedback.find(batch_size=batch_size):
                    seen.append(document)
                    if len(seen) == 150:
                        server.kill()
                        if batch_size > 150:
                            break
                database.feedback.count_documents({})

        message = refusal(scan)
    assert 150 <= len(seen) < 3000
    assert f"mongodb://{USER}:***@127.0.0.1:{server.port}/" in message
    assert "run this again" in message


def test_dates_have_a_time_zone_and_impossible_ones_do_not_stop_a_scan(lone: OwnMongod):
    from bson.datetime_ms import DatetimeMS

    with mongo(lone.uri).database() as database:
        database.dates.insert_many([{"_id": 1, "at": DatetimeMS(0)}, {"_id": 2, "at": DatetimeMS(2**62)}])
        ordinary, impossible = (one["at"] for one in database.dates.find().sort("_id"))
    assert ordinary.tzinfo is not None
    assert impossible == DatetimeMS(2**62)


def test_without_an_address_an_embedded_mongod_runs_while_it_is_held(tmp_path: Path):
    client = Mongo(uri=None, home=tmp_path / "mongodb", database="hive", timeout_s=10)
    assert client.address == f"embedded mongod in {tmp_path / 'mongodb'}"
    with client.held():
        with client.database() as database:
            database.feedback.insert_one({"_id": 1})
            address = database.client.address
        with client.database() as database:
            assert database.client.address == address
            assert database.feedback.count_documents({}) == 1


def test_an_embedded_mongod_that_cannot_start_is_named_as_the_reason(tmp_path: Path):
    (tmp_path / "data").write_text("a file where the data folder should be")
    with pytest.raises(EmbeddedMongoError, match="did not start"):
        enter(Mongo(uri=None, home=tmp_path, database="hive", timeout_s=10))


def test_holding_a_server_elsewhere_does_not_even_connect():
    with mongo(f"mongodb://127.0.0.1:{free_port()}").held():
        pass


@pytest.mark.parametrize("password", ["hun@ter", "hun/ter", "hun?ter", "hun#ter", "hun@ter/2"])
def test_a_password_with_a_raw_separator_is_refused_and_no_part_of_it_is_shown(password, tmp_path):
    mongo = Mongo(uri=f"mongodb://bob:{password}@127.0.0.1:9/", home=tmp_path, database="x", timeout_s=1)
    with pytest.raises(MongoRefused, match="percent-encoded") as caught, mongo.database():
        pass
    assert "hun" not in str(caught.value)
    assert "ter" not in str(caught.value).replace("characters", "")


ASK_AND_EXIT = """
import sys
from pathlib import Path
from pymongo.synchronous import monitor
from resources.mongo import Mongo

monitor._shutdown_executors = lambda: print("waits for threads")
with Mongo(uri=sys.argv[1], home=Path(sys.argv[2]), database="test", timeout_s=20).database() as database:
    print(database.name)
"""


def test_a_process_that_has_closed_its_clients_does_not_wait_for_their_threads(lone: OwnMongod, tmp_path: Path):
    command = [sys.executable, "-c", ASK_AND_EXIT, lone.uri, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["test"]
    assert done.stderr == ""
