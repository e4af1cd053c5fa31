"""Readers: they answer questions about versions and runs without MLflow's library.

To import that library takes longer than all questions of a command together. A reader has the methods of MLflow's
client that only ask, by the same names, and its answers have the fields that the platform reads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

ALL: Final = 3
"""`ViewType.ALL` of MLflow: deleted ones, too."""


@dataclass(frozen=True)
class ReadVersion:
    """A version of a registered model. `last_updated_timestamp` is in milliseconds since 1970."""

    name: str
    version: str
    current_stage: str
    run_id: str | None
    last_updated_timestamp: int
    tags: dict[str, str]


@dataclass(frozen=True)
class ReadModel:
    """A registered model: its newest version in each stage, and the numbers that its aliases name.

    MLflow sets `last_updated_timestamp` (milliseconds since 1970) if a version is created, deleted or moved to a stage.
    """

    name: str
    last_updated_timestamp: int
    latest_versions: list[ReadVersion]
    aliases: dict[str, str]


class Page(list[T]):
    """Some of what was found. `token` asks for the next; None: these are the last."""

    token: str | None = None


def every(ask: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """What is on this page and on all that follow; `ask` gets the token of a page, None for the first one."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def require_all(view: int) -> None:
    """ValueError if it is another view than `ALL`."""
    if view != ALL:
        raise ValueError(f"this reader does not know the view {view}")


@dataclass(frozen=True)
class ReadData:
    """What a run has logged: the newest value of each metric."""

    metrics: dict[str, float]


@dataclass(frozen=True)
class ReadInfo:
    """What a run is."""

    run_id: str


@dataclass(frozen=True)
class ReadRun:
    """An MLflow run."""

    info: ReadInfo
    data: ReadData


@dataclass(frozen=True)
class ReadExperiment:
    """An MLflow experiment, which groups runs."""

    experiment_id: str


class MlflowReader(Protocol):
    """What both readers, and MLflow's own client, can be asked.

    Where there is no such thing, they raise an error with an `error_code` (see `if_there`).
    """

    def get_registered_model(self, name: str) -> ReadModel:
        """The model with this name."""

    def search_registered_models(
        self, filter_string: str | None = None, max_results: int = 100, *, page_token: str | None = None
    ) -> Page[ReadModel]:
        """The models that a filter of MLflow lets through, by name."""

    def get_model_version(self, name: str, version: str) -> ReadVersion:
        """The version of a model with this number."""

    def get_model_version_by_alias(self, name: str, alias: str) -> ReadVersion:
        """The version of a model that this alias names."""

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Page[ReadVersion]:
        """The versions that a filter of MLflow lets through."""

    def get_run(self, run_id: str) -> ReadRun:
        """The run with this id, also a deleted one."""

    def search_experiments(
        self, view_type: int, max_results: int = 1000, *, page_token: str | None = None
    ) -> Page[ReadExperiment]:
        """The experiments. A reader knows only the view `ALL`."""

    def search_runs(
        self, experiment_ids: list[str], filter_string: str, run_view_type: int, max_results: int = 1000
    ) -> Page[ReadRun]:
        """The runs of these experiments that a filter of MLflow lets through. A reader knows only the view `ALL`."""
