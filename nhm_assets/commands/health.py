"""Whether the services that the platform stands on answer, asked before anything is started."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nhm_assets.feedback.mongo_batches import READ_INDEXES
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from resources.addresses import masked
from resources.errors import ServiceError
from resources.storage import check_storage

if TYPE_CHECKING:
    from pymongo.database import Database


@dataclass(frozen=True)
class Service:
    """One service: where it is, and what is wrong with it (None: it answers)."""

    name: str
    address: str
    fault: str | None


def require_services(settings: Settings) -> None:
    """Raise the first fault found.

    Raises:
        ServiceError: MongoDB, MLflow or storage does not answer or cannot be used.
    """
    for ask in _questions(settings).values():
        ask()


def services(settings: Settings) -> list[Service]:
    """Ask every service, whatever the others say."""
    addresses = {
        "MongoDB": mongo_of(settings).address,
        "MLflow": mlflow_of(settings).address,
        "storage": masked(settings.storage),
    }
    found = []
    for name, ask in _questions(settings).items():
        try:
            ask()
        except ServiceError as error:
            found.append(Service(name, addresses[name], str(error)))
        else:
            found.append(Service(name, addresses[name], None))
    return found


def _questions(settings: Settings) -> dict[str, Callable[[], None]]:
    def ask_mongo() -> None:
        with mongo_of(settings).database():
            pass

    def ask_mlflow() -> None:
        with mlflow_of(settings).client():
            pass

    return {"MongoDB": ask_mongo, "MLflow": ask_mlflow, "storage": lambda: check_storage(settings.storage)}


def missing_indexes(database: "Database[dict[str, Any]]", settings: Settings) -> list[str]:
    """How to make, in the MongoDB shell, the indexes that are missing on collections we only read."""
    commands = []
    for setting, keys in READ_INDEXES.items():
        name = getattr(settings, setting)
        existing = [list(index["key"].items()) for index in database[name].list_indexes()]
        if not any(index[: len(keys)] == list(keys) for index in existing):
            fields = ", ".join(f"{field}: {direction}" for field, direction in keys)
            commands.append(f"db.getCollection({name!r}).createIndex({{{fields}}})")
    return commands
