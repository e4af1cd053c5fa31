"""The clients with which one command asks all its questions: to open each takes a part of a second."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from nhm_assets.domain.meanwhile import entered_meanwhile
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pymongo.database import Database


class Clients:
    """MongoDB and MLflow. Nothing is contacted before it is asked.

    A local mongod runs until the end, and is not waited for then: whoever only asks has nothing to lose.

    Attributes:
        settings: say where they are.
        mongo: the configured MongoDB, or an embedded mongod.
        mlflow: the configured MLflow server, or SQLite on this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mongo = mongo_of(settings)
        self.mlflow = mlflow_of(settings)
        self._stack = ExitStack()
        self._opened: Callable[[], Database[dict[str, Any]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._stack.close()

    def open_mongo(self) -> "Callable[[], Database[dict[str, Any]]]":
        """Begin to open MongoDB, which may have to be started, while the caller does something else.

        Returns:
            A function that waits until it is open.
        """
        if self._opened is None:
            self._opened = self._stack.enter_context(entered_meanwhile(self.mongo.database(waits=False)))
        return self._opened

    @contextmanager
    def database(self) -> "Iterator[Database[dict[str, Any]]]":
        """The database, which stays open until the end. Raises what `Mongo.database` raises."""
        database = self.open_mongo()()
        with self.mongo.errors():
            yield database
