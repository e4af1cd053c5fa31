"""Look-ups of the versions of a registered model: all, by number, by alias, and the one in Production."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.vocabulary import PRODUCTION, WINDOW_END_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_DOES_NOT_EXIST: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def version_in_production(client: "MlflowClient", model: str) -> "ModelVersion | None":
    """The version in stage Production; None if there is none.

    Raises:
        RegistryError: several versions are in that stage.
    """
    in_production = [version for version in all_versions(client, model) if version.current_stage == PRODUCTION]
    if len(in_production) > 1:
        numbers = ", ".join(str(version.version) for version in in_production)
        raise RegistryError(
            f"{model} has versions {numbers} in stage {PRODUCTION}: archive all but the one that should serve,"
            " then run this again"
        )
    return in_production[0] if in_production else None


def all_versions(client: "MlflowClient", model: str) -> "list[ModelVersion]":
    """Every version of a registered model, newest first; empty if the model does not exist."""
    versions: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(f"name='{model}'", max_results=1000, page_token=token)
        versions += page
        token = page.token
        if not token:
            return sorted(versions, key=lambda version: int(version.version), reverse=True)


def newest_versions(client: "MlflowClient", model: str, count: int) -> "list[ModelVersion]":
    """The versions with the highest numbers, newest first; empty if the model does not exist."""
    return list(client.search_model_versions(f"name='{model}'", max_results=count, order_by=["version_number DESC"]))


def version_by_alias(client: "MlflowClient", model: str, alias: str) -> str | None:
    """The number of the version that an alias names; None if the alias or the model does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(model, alias).version)
    except MlflowException as error:
        if error.error_code in _DOES_NOT_EXIST:
            return None
        raise


def version_if_any(client: "MlflowClient", model: str, version: str) -> "ModelVersion | None":
    """The version with this number; None if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, version)
    except MlflowException as error:
        if error.error_code in _DOES_NOT_EXIST:
            return None
        raise


def window_end(version: "ModelVersion") -> datetime | None:
    """End of the window that a version learned from; None for a version from elsewhere, whatever its tag says."""
    try:
        end = datetime.fromisoformat(version.tags.get(WINDOW_END_TAG, ""))
    except ValueError:
        return None
    return end if end.tzinfo else end.replace(tzinfo=UTC)
