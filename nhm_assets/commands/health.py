"""Whether MongoDB, MLflow, storage and Dagster answer. Commands check all but Dagster before they start any work."""

from collections.abc import Callable
from dataclasses import dataclass

from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from resources.addresses import masked
from resources.errors import ServiceError
from resources.storage import check_storage


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
    for _, _, check in _checks(settings):
        check()


def check_services(settings: Settings) -> list[Service]:
    """Check every service and Dagster's database, also after one has failed."""
    services = [Service(name, address, _fault(check)) for name, address, check in _checks(settings)]
    return [*services, Service("Dagster", f"instance in {settings.dagster_folder}", _fault_of_dagster(settings))]


def _fault(check: Callable[[], None]) -> str | None:
    try:
        check()
    except ServiceError as error:
        return str(error)
    return None


def _fault_of_dagster(settings: Settings) -> str | None:
    """What is wrong with the instance. Its storage raises the errors of whatever library the database needs."""
    from nhm_assets.instance.home import INSTANCE_FILE, dagster_instance

    try:
        dagster_instance(settings).dispose()
    except Exception as error:  # noqa: BLE001 - the status of the other services is worth more than a stack trace
        cause = error.__cause__ or error.__context__ or error
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        return (
            f"Dagster's database cannot be used ({reason}): check that it runs, the variables DAGSTER_PG_* and"
            f" {settings.dagster_folder / INSTANCE_FILE}"
        )
    return None


def _checks(settings: Settings) -> list[tuple[str, str, Callable[[], None]]]:
    """Name and address of each service, and a function that raises if it cannot be used."""
    mongo, mlflow = mongo_of(settings), mlflow_of(settings)

    def check_mongo() -> None:
        with mongo.database():
            pass

    def check_mlflow() -> None:
        with mlflow.client():
            pass

    return [
        ("MongoDB", mongo.address, check_mongo),
        ("MLflow", mlflow.address, check_mlflow),
        ("storage", masked(settings.storage), lambda: check_storage(settings.storage)),
    ]
