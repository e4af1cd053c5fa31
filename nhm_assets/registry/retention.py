"""Deletes the files of old model versions; their records stay."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.recovery import recover
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import ARCHIVED, FILES_DELETED_TAG, INCREMENT_OF_TAG, PRODUCTION, STAGING
from resources.mlflow import delete_version_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

FILES_DELETED: Final = "files_deleted"
"""Kind of the entry in the audit log."""
_BEGUN: Final = "begun"
_COPIED_SOURCE: Final = re.compile(r"models:/[^/]+/")
"""The source of a version that was copied from another version."""


def deletable_versions(
    versions: "Sequence[ModelVersion]", aliases: Mapping[str, Any], keep: int
) -> "list[ModelVersion]":
    """The versions whose files may be deleted.

    They are Archived, or held candidates in Staging, but not among the newest `keep` versions of their stage; they
    have no alias, no other version shares their files, and what is in Production is no increment of them.

    Args:
        versions: of one model, newest first.
        aliases: alias -> number of its version.
        keep: number of versions of each of these stages that keep their files.
    """
    needed = {str(number) for number in aliases.values()}
    needed |= {version.tags.get(INCREMENT_OF_TAG, "") for version in versions if version.current_stage == PRODUCTION}
    old = [
        version
        for stage in (ARCHIVED, STAGING)
        for version in [each for each in versions if each.current_stage == stage][keep:]
    ]
    return [
        version
        for version in old
        if str(version.version) not in needed
        and version.tags.get(FILES_DELETED_TAG) in (None, _BEGUN)
        and not _shares_files(version, versions)
    ]


def _shares_files(version: "ModelVersion", versions: "Sequence[ModelVersion]") -> bool:
    """Whether the version is a copy, or has a copy: MLflow copies only the record, not the files."""
    addresses = {version.source, f"models:/{version.name}/{version.version}"}
    others = {other.source for other in versions if other is not version}
    return bool(_COPIED_SOURCE.match(version.source or "") or addresses & others)


def delete_old_files(
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
    model: str,
    *,
    keep: int,
    fields: Mapping[str, Any],
    now: datetime,
    wait_s: float,
) -> list[str]:
    """Delete the files of old versions of a model, while holding its promotion lock.

    A version is tagged before its files are deleted, so that nothing uses a half-deleted one. The next call
    finishes an interrupted deletion.

    Args:
        client: of the registry.
        log: the audit log.
        model: name of the registered model.
        keep: number of versions in stage Archived, and in stage Staging, that keep their files.
        fields: more fields of the audit log: the actor, the run.
        now: time for the audit log.
        wait_s: seconds to wait while a promotion holds the lock.

    Returns:
        The numbers of the versions whose files were deleted.
    """
    reason = f"beyond the newest {keep} versions in stage Archived or Staging"
    entry = {**fields, "kind": "retention", "reason": reason, "at": now}
    with hold_lock(log, model, entry, recover=partial(recover, client, now=now), wait_s=wait_s) as lock:
        versions = all_versions(client, model)
        aliases = client.get_registered_model(model).aliases if versions else {}
        deleted = []
        for version in deletable_versions(versions, aliases, keep):
            number = str(version.version)
            lock.assert_lease()
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, _BEGUN)
            delete_version_files(client, model, number)
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, now.isoformat(timespec="seconds"))
            deleted.append(number)
        if deleted:
            lock.release("done", kind=FILES_DELETED, versions=deleted, finished_at=now)
        else:
            lock.discard()
    return deleted
