"""The writes of a promotion in the registry: each can be repeated, and the result is read back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.descriptions import mark_run
from nhm_assets.registry.versions import version_by_alias, version_if_any, versions_in_production
from nhm_assets.registry.vocabulary import ARCHIVED, CANDIDATE_ALIAS, PREVIOUS_ALIAS, PRODUCTION, PRODUCTION_ALIAS

if TYPE_CHECKING:
    from mlflow import MlflowClient

AssertLease = Callable[[], None]
"""Raises if this process no longer holds the lock."""


def put_into_production(
    client: "MlflowClient",
    model: str,
    version: str,
    *,
    previous: str | None,
    assert_lease: AssertLease,
    audited: str | None = None,
) -> None:
    """Put a version into Production, by stage and by alias, and set the alias `previous`.

    The aliases move first. The stage, by which the specialists load, moves last. Every write is skipped if it is
    already done, so calling this again finishes an interrupted promotion.

    Args:
        client: of the registry.
        model: name of the registered model.
        version: number of the version to promote.
        previous: number that the alias `previous` will name; None leaves it unchanged, unless it names `version`.
        assert_lease: called before each write; raises if this process no longer holds the lock.
        audited: number of the version that the audit log last recorded; None if the caller does not know it.

    Raises:
        RegistryError: the registry does not show what was written.
    """
    # Asked before the alias moves: while it names the champion, few versions are read.
    before = {str(item.version): item for item in versions_in_production(client, model, audited=audited)}
    if previous is not None and previous != version:
        _set_alias(client, model, PREVIOUS_ALIAS, previous, assert_lease)
    else:
        _delete_alias(client, model, PREVIOUS_ALIAS, version, assert_lease)
    _set_alias(client, model, PRODUCTION_ALIAS, version, assert_lease)
    _delete_alias(client, model, CANDIDATE_ALIAS, version, assert_lease)
    if list(before) != [version]:
        assert_lease()
        # One call moves both versions, so the stage is never empty.
        client.transition_model_version_stage(model, version, PRODUCTION, archive_existing_versions=True)
    if faults := registry_faults(client, model, version):
        raise RegistryError(f"{model} version {version} was promoted, but {'; '.join(faults)}")
    if previous is not None and previous not in before and (archived := version_if_any(client, model, previous)):
        before[previous] = archived
    mark_run(client, client.get_model_version(model, version), before=before.values())


def delete_previous_alias(client: "MlflowClient", model: str, assert_lease: AssertLease) -> None:
    """Delete the alias `previous`: a rollback must not choose a version by itself."""
    if version_by_alias(client, model, PREVIOUS_ALIAS) is not None:
        assert_lease()
        client.delete_registered_model_alias(model, PREVIOUS_ALIAS)


def _set_alias(client: "MlflowClient", model: str, alias: str, version: str, assert_lease: AssertLease) -> None:
    if version_by_alias(client, model, alias) != version:
        assert_lease()
        client.set_registered_model_alias(model, alias, version)


def _delete_alias(client: "MlflowClient", model: str, alias: str, version: str, assert_lease: AssertLease) -> None:
    """Delete an alias if it names this version, which is about to be in Production."""
    if version_by_alias(client, model, alias) == version:
        assert_lease()
        client.delete_registered_model_alias(model, alias)


def registry_faults(client: "MlflowClient", model: str, version: str) -> list[str]:
    """Every contradiction to this version being the one in Production, in plain words; empty if there is none."""
    in_production = [str(item.version) for item in versions_in_production(client, model)]
    alias = version_by_alias(client, model, PRODUCTION_ALIAS)
    previous = version_by_alias(client, model, PREVIOUS_ALIAS)
    faults = []
    if in_production != [version]:
        faults.append(f"stage {PRODUCTION} holds {in_production or 'no version'}, not {version}")
    if alias != version:
        faults.append(f"the alias {PRODUCTION_ALIAS} names {alias or 'no version'}, not {version}")
    before = version_if_any(client, model, previous) if previous is not None else None
    if previous is not None and (previous == version or before is None or before.current_stage != ARCHIVED):
        state = f"is in stage {before.current_stage}" if before else "does not exist"
        faults.append(f"the alias {PREVIOUS_ALIAS} names {previous}, which {state}")
    return faults
