"""Old model versions lose their files, never their record."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.registry.promotion_lock import Intent, hold_intent
from nhm_assets.registry.recovery import finish_or_undo
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import ARCHIVED, FILES_DELETED_TAG
from resources.mlflow import delete_version_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

FILES_DELETED: Final = "files_deleted"
"""Kind of the audit log's entry."""
_BEGUN: Final = "begun"
_COPY: Final = re.compile(r"models:/[^/]+/")
"""Where the files of a version that was copied from another one are said to lie."""


def expendable(versions: "Sequence[ModelVersion]", aliases: Mapping[str, Any], keep: int) -> "list[ModelVersion]":
    """The versions whose files may go: Archived, without an alias, and not among the newest `keep` Archived ones.

    Nor may those that another version shares.

    Args:
        versions: of one model, newest first.
        aliases: alias -> number of the version that it names.
        keep: how many Archived versions keep their files.
    """
    named = {str(number) for number in aliases.values()}
    archived = [version for version in versions if version.current_stage == ARCHIVED]
    return [
        version
        for version in archived[keep:]
        if str(version.version) not in named
        and version.tags.get(FILES_DELETED_TAG) in (None, _BEGUN)
        and not _shares_files(version, versions)
    ]


def _shares_files(version: "ModelVersion", versions: "Sequence[ModelVersion]") -> bool:
    """Whether it is a copy of a version, or has one: MLflow copies the record alone."""
    addresses = {version.source, f"models:/{version.name}/{version.version}"}
    others = {one.source for one in versions if one is not version}
    return bool(_COPY.match(version.source or "") or addresses & others)


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
    """Delete the files of a model's expendable versions, under the lock of its promotions.

    A version is marked before its files go, so that nobody builds on one that is half there; a deletion that
    was interrupted is finished the next time.

    Returns:
        The numbers of these versions.
    """

    def repair(abandoned: Intent) -> None:
        finish_or_undo(client, abandoned, now=now)

    entry = {**fields, "kind": "retention", "reason": f"beyond the newest {keep} Archived versions", "at": now}
    with hold_intent(log, model, entry, repair=repair, wait_s=wait_s) as intent:
        versions = all_versions(client, model)
        aliases = client.get_registered_model(model).aliases if versions else {}
        deleted = []
        for version in expendable(versions, aliases, keep):
            number = str(version.version)
            intent.assert_lease()
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, _BEGUN)
            delete_version_files(client, model, number)
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, now.isoformat(timespec="seconds"))
            deleted.append(number)
        if deleted:
            intent.close("done", kind=FILES_DELETED, versions=deleted, finished_at=now)
        else:
            intent.withdraw()
    return deleted
