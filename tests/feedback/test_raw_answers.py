"""Answers as bytes: all documents, as a cursor returns them, whatever they are and however many."""

from typing import Any

import pytest
from bson import decode_all, encode
from bson.int64 import Int64
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandStartedEvent
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from nhm_assets.feedback.raw_answers import documents_in, find_raw
from resources.mongo import read_consistently
from tests.support.commands import Commands, listened
from tests.support.documents import Document
from tests.support.proxies import Proxy, proxy_to

SHOWN = {"name": 1, "odd": 1}


def stored(database: Database[Document], documents: list[Document]) -> list[Document]:
    """The documents in a collection, as they are read one by one."""
    if documents:
        database.texts.insert_many([dict(one, hidden=True) for one in documents])
    return list(database.texts.find({}, SHOWN))


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param([], id="none"),
        pytest.param([{"name": "a"}], id="one"),
        pytest.param([{"name": "a"}, {"odd": {"0": [b"\0", {"": "\0"}]}}, {}], id="zeros in names and values"),
        pytest.param([{"name": str(number)} for number in range(101)], id="numbers of up to three digits"),
    ],
)
@pytest.mark.parametrize("most", [1, 101, 500])
def test_the_documents_are_those_of_a_cursor(database: Database[Document], documents: list[Document], most: int):
    expected = stored(database, documents)
    assert [
        one for part in find_raw(database.texts, {}, SHOWN, None, most=most) for one in decode_all(part)
    ] == expected


def test_an_answer_takes_one_command(mongod_uri: str, database: Database[Document]):
    stored(database, [{"name": str(number)} for number in range(7)])
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as heard:
        find_raw(heard.texts, {}, SHOWN, None, most=7)
    assert commands.names[:-1] == ["find"]
    assert commands.names[-1] == "endSessions"


def test_documents_that_no_reply_can_hold_are_all_read(database: Database[Document]):
    expected = stored(database, [{"name": letter * 6_000_000} for letter in "abcd"])
    found = [one for part in find_raw(database.texts, {}, SHOWN, None, most=4) for one in decode_all(part)]
    assert found == expected


def test_it_reads_from_the_point_in_time_of_its_session(database: Database[Document]):
    def read(session: Any) -> list[list[Document]]:
        answers = []
        for name in "ab":
            answers.append([decode_all(part) for part in find_raw(database.texts, {}, SHOWN, session, most=9)])
            database.texts.insert_one({"name": name})
        return answers

    stored(database, [{"name": "first"}])
    (before, after), _ = read_consistently(database, read)
    assert before == after
    assert [one["name"] for part in before for one in part] == ["first"]


def test_it_asks_as_the_collection_does(mongod_uri: str, database: Database[Document]):
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as heard:
        collection = heard.texts.with_options(
            read_concern=ReadConcern("majority"), read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        find_raw(collection, {}, SHOWN, None, most=1)
    sent = commands.sent[0]
    assert sent["readConcern"] == {"level": "majority"}
    assert sent["$readPreference"]["mode"] in {"secondaryPreferred", "primaryPreferred"}


def test_an_error_of_the_server_is_raised(database: Database[Document]):
    with pytest.raises(OperationFailure, match="unknown operator"):
        find_raw(database.texts, {"name": {"$unheard": 1}}, SHOWN, None, most=1)


class Breaking(Commands):
    """Cuts the connection that the second query is sent through."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy

    def started(self, event: CommandStartedEvent) -> None:
        super().started(event)
        if self.names.count("find") == 2:
            self._proxy.shut()
            self._proxy.open()


def test_a_connection_that_breaks_once_does_no_harm(mongod_uri: str, database: Database[Document]):
    """As with a cursor, which PyMongo asks for again."""
    expected = stored(database, [{"name": "a"}])
    (_, port) = parse_uri(mongod_uri)["nodelist"][0]
    with (
        proxy_to(port) as proxy,
        listened(
            f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true", database.name, (commands := Breaking(proxy))
        ) as heard,
    ):
        heard.texts.find_one()
        found = find_raw(heard.texts, {}, SHOWN, None, most=1)
    assert [one for part in found for one in decode_all(part)] == expected
    assert commands.names.count("find") == 3


@pytest.mark.parametrize(
    ("cursor", "documents"),
    [
        ({"firstBatch": [{"a": 1}], "id": Int64(0), "ns": "x.y"}, [{"a": 1}]),
        ({"firstBatch": [], "partialResultsReturned": False, "id": Int64(0), "ns": "x.y"}, []),
        ({"firstBatch": [{"a": 1}], "id": Int64(7), "ns": "x.y"}, None),
        ({"id": Int64(0), "firstBatch": [{"a": 1}]}, None),
    ],
    ids=["all", "none", "some", "another order"],
)
def test_of_a_reply_only_what_is_surely_all_counts(cursor: Document, documents: list[Document] | None):
    found = documents_in(encode(cursor))
    assert (found is None) == (documents is None)
    assert found is None or decode_all(found) == documents
