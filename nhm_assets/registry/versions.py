"""Look-ups of the versions of a registered model: in Production, by number, by alias, by tag, and all of them.

After years a model has hundreds of versions, and reading all of them takes longer than anything else that is asked of
the registry. Only what deletes old files, moves every candidate, or finds that others moved the champion needs all
of them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.vocabulary import PRODUCTION, PRODUCTION_ALIAS, WINDOW_END_TAG
from resources.mlflow_errors import NOT_A_NAME, if_there
from resources.mlflow_reader import every

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from resources.mlflow_reader import MlflowReader

_CHANGES: Final = 20
"""Versions that are read at a time, those that were changed last first."""

_NAMED: Final = 10


def version_in_production(
    client: "MlflowClient | MlflowReader", model: str, *, audited: str | None = None
) -> "ModelVersion | None":
    """The version in stage Production; None if there is none.

    Args:
        client: of the registry.
        model: name of the registered model.
        audited: see `versions_in_production`.

    Raises:
        RegistryError: several versions are in that stage.
    """
    in_production = versions_in_production(client, model, audited=audited)
    if len(in_production) > 1:
        numbers = ", ".join(str(version.version) for version in in_production)
        raise RegistryError(
            f"{model} has versions {numbers} in stage {PRODUCTION}: archive all but the one that should serve,"
            " then run this again"
        )
    return in_production[0] if in_production else None


def versions_in_production(
    client: "MlflowClient | MlflowReader", model: str, *, audited: str | None = None
) -> "list[ModelVersion]":
    """The versions in stage Production, highest number first: one, unless others moved a second one there.

    MLflow answers with the one of the highest number, which is also the one that the specialists load. If the platform
    put it there, it set the alias and archived what was there before: a second one has changed since. Otherwise, the
    second one can be what the platform put there, however long ago, so all versions are read. (MLflow searches by name,
    number, run and tag, and not by stage.)

    Args:
        client: of the registry.
        model: name of the registered model.
        audited: number of the version that the audit log last recorded; None if the caller does not know it.
    """
    registered = registered_model(client, model)
    if registered is None:
        return []
    return versions_beside(client, newest_in(registered, PRODUCTION), production_alias(registered), audited)


def versions_beside(
    client: "MlflowClient | MlflowReader", served: "ModelVersion | None", alias: str | None, audited: str | None
) -> "list[ModelVersion]":
    """The versions in stage Production, highest number first.

    Args:
        client: of the registry.
        served: the one with the highest number; None if there is none.
        alias: the number that the alias `production` names.
        audited: as in `versions_in_production`.
    """
    if served is None:
        return []
    unmoved = {alias, audited or alias} == {str(served.version)}
    others = _changed_since(client, served) if unmoved else all_versions(client, served.name)
    # The second answer is newer: where they differ, a promotion has ended in between.
    found = {served.version: served} | {one.version: one for one in others}
    in_production = [version for version in found.values() if version.current_stage == PRODUCTION]
    return sorted(in_production, key=lambda version: int(version.version), reverse=True)


def registered_model(client: "MlflowClient | MlflowReader", model: str) -> "RegisteredModel | None":
    """The model, with its newest version in each stage and its aliases; None if it does not exist."""
    return if_there(lambda: client.get_registered_model(model), NOT_A_NAME)


def newest_in(registered: "RegisteredModel", stage: str) -> "ModelVersion | None":
    """The version in this stage with the highest number; None if there is none."""
    return next((one for one in registered.latest_versions if one.current_stage == stage), None)


def production_alias(registered: "RegisteredModel") -> str | None:
    """The number of the version that the alias `production` names; None if nobody has set it."""
    alias = registered.aliases.get(PRODUCTION_ALIAS)
    return None if alias is None else str(alias)


def _changed_since(client: "MlflowClient | MlflowReader", version: "ModelVersion") -> "Iterator[ModelVersion]":
    """The versions of its model that were changed after this one, and some more, since it may have been described."""
    token = None
    while True:
        page = client.search_model_versions(
            f"name='{version.name}'", _CHANGES, order_by=["last_updated_timestamp DESC"], page_token=token
        )
        yield from page
        token = page.token
        if not token or page[-1].last_updated_timestamp < version.last_updated_timestamp:
            return


def versions_with_tag(client: "MlflowClient | MlflowReader", model: str, tag: str, value: str) -> "list[ModelVersion]":
    """The versions with this value of a tag, newest first; empty if the model does not exist."""
    return _found(client, f"name='{model}' and tags.`{tag}` = '{value}'")


def all_versions(client: "MlflowClient | MlflowReader", model: str) -> "list[ModelVersion]":
    """Every version of a registered model, newest first; empty if the model does not exist."""
    return _found(client, f"name='{model}'")


def _found(client: "MlflowClient | MlflowReader", query: str) -> "list[ModelVersion]":
    versions = every(lambda token: client.search_model_versions(query, max_results=1000, page_token=token))
    return sorted(versions, key=lambda version: int(version.version), reverse=True)


def absence(client: "MlflowClient | MlflowReader", model: str, number: str) -> str:
    """The sentence that a model has no such version, with those that it has."""
    numbers = [str(version.version) for version in newest_versions(client, model, _NAMED + 1)]
    older = ", and older ones" if len(numbers) > _NAMED else ""
    return f"{model} has no version {number!r}: it has {', '.join(numbers[:_NAMED]) or 'none'}{older}"


def newest_versions(client: "MlflowClient | MlflowReader", model: str, count: int) -> "list[ModelVersion]":
    """The versions with the highest numbers, newest first; empty if the model does not exist."""
    return list(client.search_model_versions(f"name='{model}'", max_results=count, order_by=["version_number DESC"]))


def version_by_alias(client: "MlflowClient | MlflowReader", model: str, alias: str) -> str | None:
    """The number of the version that an alias names; None if the alias or the model does not exist."""
    version = if_there(lambda: client.get_model_version_by_alias(model, alias), NOT_A_NAME)
    return str(version.version) if version else None


def version_if_any(client: "MlflowClient | MlflowReader", model: str, version: str) -> "ModelVersion | None":
    """The version with this number; None if it does not exist."""
    return if_there(lambda: client.get_model_version(model, version), NOT_A_NAME)


def window_end(version: "ModelVersion") -> datetime | None:
    """End of the window that a version learned from; None for a version from elsewhere, whatever its tag says."""
    try:
        end = datetime.fromisoformat(version.tags.get(WINDOW_END_TAG, ""))
    except ValueError:
        return None
    return end if end.tzinfo else end.replace(tzinfo=UTC)
