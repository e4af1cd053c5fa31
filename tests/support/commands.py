"""Records the commands that a client sends to MongoDB, and shows how the server would run them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

_NOT_EXPLAINABLE = ("lsid", "$clusterTime", "$db", "$readPreference", "txnNumber", "readConcern", "writeConcern")


class Commands(CommandListener):
    """The commands of a client, in order. `after` is called after each success."""

    def __init__(self, after: Callable[[str], None] = lambda _: None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._after = after

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._after(event.command_name)

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to do: a failed command raises an error where it was sent."""

    @property
    def names(self) -> list[str]:
        return [next(iter(command)) for command in self.sent]

    def reads(self) -> list[dict[str, Any]]:
        """The find and aggregate commands, without the fields of their session."""
        return [
            {key: value for key, value in command.items() if key not in _NOT_EXPLAINABLE}
            for command in self.sent
            if next(iter(command)) in ("find", "aggregate")
        ]


@contextmanager
def listened(uri: str, name: str, commands: Commands) -> Iterator[Database[dict[str, Any]]]:
    """The database, through a client whose commands are recorded."""
    with MongoClient(uri, tz_aware=True, event_listeners=[commands]) as client:
        yield client[name]


def explained(database: Database[dict[str, Any]], read: dict[str, Any]) -> dict[str, Any]:
    """The plan of a read, with the statistics of one execution."""
    return database.command("explain", read, verbosity="executionStats")


def stages(explanation: Any) -> set[str]:
    """The names of all stages of the winning plan, COLLSCAN and IXSCAN among them."""
    if isinstance(explanation, list):
        return set().union(*map(stages, explanation))
    if not isinstance(explanation, dict):
        return set()
    found = {explanation["stage"]} if isinstance(explanation.get("stage"), str) else set()
    return found.union(*(stages(inner) for key, inner in explanation.items() if key != "rejectedPlans"))
