"""Which errors of MongoDB pass by themselves, and which need somebody's help."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import (
    BulkWriteError,
    NotPrimaryError,
    OperationFailure,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from resources.errors import MongoRefused, MongoSlow, MongoUnavailable, ServiceError
from resources.mongo import Mongo
from tests.support.mongod import PASSWORD, USER, OwnMongod, lone_mongod


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMongod]:
    with lone_mongod(tmp_path_factory.mktemp("lone") / "data") as server:
        yield server


def mongo(uri: str) -> Mongo:
    return Mongo(uri=uri, home=Path("unused"), database="hive", timeout_s=3)


def entered(uri: str) -> ServiceError:
    """The error that the address brings about, which shows no password."""
    with pytest.raises(ServiceError) as caught, mongo(uri).database():
        pytest.fail("the body ran")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return caught.value


@pytest.mark.parametrize(
    "options",
    ["tlsCAFile=/no/such.pem", f"tlsCertificateKeyFile=/no/such.pem&tlsCertificateKeyFilePassword={PASSWORD}"],
)
def test_a_missing_file_with_certificates_is_named_and_does_not_appear_by_itself(options: str):
    error = entered(f"mongodb://{USER}:{PASSWORD}@127.0.0.1/?tls=true&{options}")
    assert isinstance(error, MongoRefused)
    assert str(error) == "the file /no/such.pem with certificates, which MONGODB_URI names, does not exist"


def test_a_name_server_that_knows_no_members_is_away_for_a_while():
    error = entered(f"mongodb+srv://{USER}:{PASSWORD}@no-such-host.invalid/")
    assert isinstance(error, MongoUnavailable)
    assert "cannot be reached" in str(error)


PASSING = [
    NotPrimaryError("not primary", {"code": 10107}),
    OperationFailure("interrupted at shutdown", 11600, {"code": 11600}),
    WriteConcernError("primary stepped down", 189, {"code": 189}),
    WTimeoutError("waiting for replication timed out", 64, {"code": 64}),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 91, "errmsg": "shutting down"}]}),
    OperationFailure("cursor id 7 not found", 43, {"code": 43}),
    WaitQueueTimeoutError("timed out while checking out a connection"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_an_election_passes_by_itself(lone: OwnMongod, error: Exception):
    with pytest.raises(MongoUnavailable) as caught, mongo(lone.uri).database():
        raise error
    assert caught.value.transient


@pytest.mark.parametrize("code", [2, 9, 26, 121])
def test_what_a_repetition_does_not_change_is_no_outage(lone: OwnMongod, code: int):
    with pytest.raises(OperationFailure), mongo(lone.uri).database():
        raise OperationFailure("no", code, {"code": code})


def test_a_query_that_takes_too_long_is_slow_and_not_unreachable(lone: OwnMongod):
    with mongo(lone.uri).database() as database:
        database.feedback.insert_many([{} for _ in range(400)])
    # Some milliseconds for each document. A query that is interrupted in JavaScript may have another error.
    slow = {"$reduce": {"input": {"$range": [0, 20_000]}, "initialValue": 0, "in": {"$add": ["$$value", "$$this"]}}}
    with (
        pytest.raises(MongoSlow, match="is slow: a query took longer") as caught,
        mongo(lone.uri).database() as database,
    ):
        list(database.feedback.find({"$expr": slow}).max_time_ms(50))
    assert caught.value.transient
    assert "cannot be reached" not in str(caught.value)
