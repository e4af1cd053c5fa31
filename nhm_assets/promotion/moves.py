"""The moves of a promotion in the registry: each can be repeated, and all are read back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nhm_assets.errors import RegistryError
from nhm_assets.registry import (
    ARCHIVED,
    CANDIDATE_ALIAS,
    PREVIOUS_ALIAS,
    PRODUCTION,
    PRODUCTION_ALIAS,
    all_versions,
    version_by_alias,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

Guard = Callable[[], None]


def put_into_production(
    client: "MlflowClient", model: str, version: str, *, previous: str | None, guard: Guard
) -> None:
    """Make a version the one in Production, by stage and by alias, and its predecessor the previous one.

    Aliases move first and the stage, which the specialists load by, last. Every move looks first whether
    it is done already, so an interrupted promotion is finished by calling this again.

    Args:
        client: of the registry.
        model: name of the registered model.
        version: the one to promote.
        previous: the one that was in Production before the first move; None where there was none.
        guard: called before each write; raises where we may no longer write.

    Raises:
        RegistryError: the registry does not show afterwards what was written.
    """
    if previous is not None and previous != version:
        _point(client, model, PREVIOUS_ALIAS, previous, guard)
    _point(client, model, PRODUCTION_ALIAS, version, guard)
    if version_by_alias(client, model, CANDIDATE_ALIAS) == version:
        guard()
        client.delete_registered_model_alias(model, CANDIDATE_ALIAS)
    for other in all_versions(client, model):
        in_production, is_ours = other.current_stage == PRODUCTION, str(other.version) == version
        if in_production and not is_ours:
            guard()
            client.transition_model_version_stage(model, other.version, ARCHIVED)
    if client.get_model_version(model, version).current_stage != PRODUCTION:
        guard()
        client.transition_model_version_stage(model, version, PRODUCTION)
    if faults := registry_faults(client, model, version):
        raise RegistryError(f"{model} version {version} was promoted, but {'; '.join(faults)}")


def _point(client: "MlflowClient", model: str, alias: str, version: str, guard: Guard) -> None:
    if version_by_alias(client, model, alias) != version:
        guard()
        client.set_registered_model_alias(model, alias, version)


def registry_faults(client: "MlflowClient", model: str, version: str) -> list[str]:
    """What contradicts that this version is the one in Production, in plain words."""
    stages = {str(one.version): one.current_stage for one in all_versions(client, model)}
    serving = [number for number, stage in stages.items() if stage == PRODUCTION]
    alias = version_by_alias(client, model, PRODUCTION_ALIAS)
    previous = version_by_alias(client, model, PREVIOUS_ALIAS)
    faults = []
    if serving != [version]:
        faults.append(f"in stage {PRODUCTION} are {serving or 'no versions'}, not {version}")
    if alias != version:
        faults.append(f"the alias {PRODUCTION_ALIAS} names {alias}, not {version}")
    if previous is not None and (previous == version or stages.get(previous) != ARCHIVED):
        faults.append(f"the alias {PREVIOUS_ALIAS} names {previous}, which is in stage {stages.get(previous)}")
    return faults
