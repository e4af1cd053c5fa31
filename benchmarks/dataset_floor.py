"""The floor of building a dataset: the answers to the same queries, drained one after the other and not decoded."""

from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

Document = dict[str, Any]


class _Queries(CommandListener):
    """The queries that a client sends."""

    def __init__(self) -> None:
        self.sent: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to do."""


def queries_of(uri: str, name: str, build: "Callable[[Database[Document]], object]") -> list[Document]:
    """The queries that this build sends to the database of that name."""
    queries = _Queries()
    with MongoClient[Document](uri, event_listeners=[queries]) as client:
        build(client[name])
    return queries.sent


def drain(database: "Database[Document]", queries: list[Document]) -> int:
    """Send these queries one after the other, and return the bytes of the answers."""
    return sum(len(part) for query in queries for part in _answers(database, query))


def _answers(database: "Database[Document]", query: Document) -> Any:
    collection = database[next(iter(query.values()))]
    if "pipeline" in query:
        return collection.aggregate_raw_batches(query["pipeline"], batchSize=query["cursor"].get("batchSize", 0))
    return collection.find_raw_batches(query["filter"], query.get("projection"), batch_size=query.get("batchSize", 0))
