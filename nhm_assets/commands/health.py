"""Whether MongoDB, MLflow, storage and Dagster answer. Commands check all but Dagster before they start any work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nhm_assets.commands.clients import Clients
from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings
from resources.addresses import masked
from resources.errors import ServiceError
from resources.folders import HOME
from resources.storage_errors import STORAGE
from resources.storage_location import check_storage

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class Service:
    """One service: its name, its address, and what is wrong with it (None: it answers)."""

    name: str
    address: str
    fault: str | None


def require_services(settings: Settings) -> None:
    """Raise if a service cannot be used.

    Raises:
        ServiceError: MongoDB, MLflow or storage does not answer or cannot be used.
    """
    with Clients(settings) as clients:
        for _, _, check in _checks(clients):
            check()


def check_services(clients: Clients) -> list[Service]:
    """Check every service but Dagster's database, also after one has failed. What was opened stays open."""
    # MongoDB last: it may be starting.
    services = [Service(name, address, _fault(check)) for name, address, check in reversed(_checks(clients))]
    return services[::-1]


def service_of_dagster(settings: Settings, fault: str | None) -> Service:
    """Dagster's instance, with what is wrong with it."""
    return Service("Dagster", f"instance in {settings.dagster_folder}", fault)


def _fault(check: Callable[[], None]) -> str | None:
    try:
        check()
    except ServiceError as error:
        return str(error)
    return None


def opened_instance(settings: Settings) -> "tuple[DagsterInstance | None, str | None]":
    """The open instance, or what is wrong with it. Its storage raises the errors of whatever its database needs.

    Raises:
        UsageError: the folder cannot be used, whatever the database does.
    """
    from nhm_assets.instance.home import dagster_instance

    try:
        return dagster_instance(settings), None
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - the status of the other services is worth more than a stack trace
        return None, fault_of_dagster(settings, error)


def fault_of_dagster(settings: Settings, error: Exception) -> str:
    """What an error says about Dagster's database."""
    from nhm_assets.instance.home import INSTANCE_FILE

    if isinstance(error, ServiceError):
        return str(error)
    cause = error.__cause__ or error.__context__ or error
    reason = " ".join(str(cause).split())[:200] or type(cause).__name__
    return (
        f"Dagster's database cannot be used ({reason}): check that it runs, the variables DAGSTER_PG_* and"
        f" {settings.dagster_folder / INSTANCE_FILE}"
    )


def _checks(clients: Clients) -> list[tuple[str, str, Callable[[], None]]]:
    """Name and address of each service, and a function that raises if it cannot be used."""
    mongo, mlflow, storage = clients.mongo, clients.mlflow, clients.settings.storage
    setting = STORAGE if clients.settings.nhm_storage else HOME

    def check_mongo() -> None:
        with clients.database():
            pass

    def check_mlflow() -> None:
        with mlflow.reading():
            pass

    return [
        ("MongoDB", mongo.address, check_mongo),
        ("MLflow", mlflow.address, check_mlflow),
        ("storage", masked(storage), lambda: check_storage(storage, setting)),
    ]
