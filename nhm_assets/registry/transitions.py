"""The moves of a promotion in the registry: each can be repeated, and all are read back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.versions import all_versions, version_by_alias
from nhm_assets.registry.vocabulary import ARCHIVED, CANDIDATE_ALIAS, PREVIOUS_ALIAS, PRODUCTION, PRODUCTION_ALIAS

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
        previous: the one that the alias `previous` is to name; None leaves it, unless it names `version`.
        guard: called before each write; raises where we may no longer write.

    Raises:
        RegistryError: the registry does not show afterwards what was written.
    """
    if previous is not None and previous != version:
        _point(client, model, PREVIOUS_ALIAS, previous, guard)
    else:
        _unpoint(client, model, PREVIOUS_ALIAS, version, guard)
    _point(client, model, PRODUCTION_ALIAS, version, guard)
    _unpoint(client, model, CANDIDATE_ALIAS, version, guard)
    serving = [str(one.version) for one in all_versions(client, model) if one.current_stage == PRODUCTION]
    if serving != [version]:
        guard()
        # One call for both: at no moment is the stage empty.
        client.transition_model_version_stage(model, version, PRODUCTION, archive_existing_versions=True)
    if faults := registry_faults(client, model, version):
        raise RegistryError(f"{model} version {version} was promoted, but {'; '.join(faults)}")


def forget_previous(client: "MlflowClient", model: str, guard: Guard) -> None:
    """Remove the alias `previous`: there is no version that a rollback should choose by itself."""
    if version_by_alias(client, model, PREVIOUS_ALIAS) is not None:
        guard()
        client.delete_registered_model_alias(model, PREVIOUS_ALIAS)


def _point(client: "MlflowClient", model: str, alias: str, version: str, guard: Guard) -> None:
    if version_by_alias(client, model, alias) != version:
        guard()
        client.set_registered_model_alias(model, alias, version)


def _unpoint(client: "MlflowClient", model: str, alias: str, version: str, guard: Guard) -> None:
    """Remove an alias that would name the version in Production a second time."""
    if version_by_alias(client, model, alias) == version:
        guard()
        client.delete_registered_model_alias(model, alias)


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
