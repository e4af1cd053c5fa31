"""What is in Production of many models, asked together: one request for ten of them.

MLflow's list of models has the newest version in each stage, the aliases, and when a version was last moved. It hides a
second version in Production with a lower number, so each model is asked for it once, and again if one of its versions
was created, deleted or moved since.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from nhm_assets.registry.versions import (
    newest_in,
    production_alias,
    registered_model,
    version_by_alias,
    versions_beside,
)
from nhm_assets.registry.vocabulary import PRODUCTION, PRODUCTION_ALIAS
from resources.mlflow_reader import every

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from resources.mlflow_reader import MlflowReader

_AT_ONCE: Final = 10
"""Models per request. Before 3.x, a server reads all versions of each: a millisecond per version."""

_Seen = dict[str, tuple[object, tuple[str, ...]]]
_seen: "WeakKeyDictionary[MlflowClient | MlflowReader, _Seen]" = WeakKeyDictionary()
"""Who was asked -> model -> what its numbers depend on, and the numbers of its versions in Production."""


@dataclass(frozen=True)
class Champions:
    """What is in Production of one model.

    Attributes:
        numbers: of the versions in stage Production, highest first. Others may move a second one there.
        served: the first of these versions, which the specialists load; None if there is none.
        alias: number of the version that the alias `production` names.
    """

    numbers: tuple[str, ...]
    served: "ModelVersion | None"
    alias: str | None


def champions(client: "MlflowClient | MlflowReader", audited: Mapping[str, str | None]) -> dict[str, Champions]:
    """What is in Production of each of these models.

    Args:
        client: of the registry.
        audited: model -> number of the version that the audit log last recorded; None if the caller does not know it.
    """
    listed = {one.name: one for one in _registered(client, audited)}
    seen = _seen.setdefault(client, {})
    found = {}
    for model, number in audited.items():
        registered = listed.get(model)
        if registered is None and (number is not None or model in seen or not listed):
            # Another model that is deleted between two pages makes the next page begin too late. And MLflow's client
            # 2.22 is shown no model at all by a server 2.9.
            registered = registered_model(client, model)
        if registered is None:
            seen.pop(model, None)
        found[model] = _of(client, registered, number, seen) if registered else Champions((), None, None)
    return found


def _registered(client: "MlflowClient | MlflowReader", models: Collection[str]) -> "Iterator[RegisteredModel]":
    """These models, as far as they exist, and others whose names end alike."""
    ending = commonprefix([model[::-1] for model in models])[::-1]  # noqa: RUF071 - of names, not of paths
    like = f"name LIKE '%{ending}'"
    if models:
        yield from every(lambda token: client.search_registered_models(like, _AT_ONCE, page_token=token))


def _of(
    client: "MlflowClient | MlflowReader", registered: "RegisteredModel", audited: str | None, seen: _Seen
) -> Champions:
    served, alias = newest_in(registered, PRODUCTION), production_alias(registered)
    number = str(served.version) if served else None
    state = registered.last_updated_timestamp, number, {alias, audited or alias} == {number}
    known, numbers = seen.get(registered.name, (None, ()))
    # A server that does not say when it changed is asked each time.
    if known != state or not registered.last_updated_timestamp:
        found = versions_beside(client, served, alias, audited)
        numbers, served = tuple(str(version.version) for version in found), found[0] if found else None
        seen[registered.name] = state, numbers
    if alias is not None and alias != number:
        # Before 3.x, the alias of a version that was deleted is still listed.
        alias = version_by_alias(client, registered.name, PRODUCTION_ALIAS)
    return Champions(numbers, served, alias)
