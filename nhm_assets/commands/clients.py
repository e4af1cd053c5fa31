"""The clients with which one command asks all its questions: to open each takes a part of a second."""

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Self

from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from dagster import DagsterInstance


class Clients:
    """MongoDB, MLflow and Dagster's instance. Nothing is contacted before it is asked.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._stack.close()

    @cached_property
    def dagster(self) -> "DagsterInstance":
        """The open instance. Its storage raises the errors of whatever library the database needs."""
        from nhm_assets.instance.home import dagster_instance

        return self._stack.enter_context(dagster_instance(self.settings))

    def hold_mongo(self) -> None:
        """Keep a local mongod running until the end, so that it starts once for all questions.

        Raises:
            EmbeddedMongoError: there is none, or it does not start.
        """
        self._stack.enter_context(self.mongo.held())
