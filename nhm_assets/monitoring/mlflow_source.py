"""What the model registry says: which version is in Production, since when, and how good it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.metric import Readings
from nhm_assets.registry.versions import newest_versions, version_by_alias, version_if_any, window_end
from nhm_assets.registry.vocabulary import DATA_SOURCE_TAG, DATA_VERSION_TAG, PRODUCTION, PRODUCTION_ALIAS, STAGING
from resources.mlflow import Mlflow
from resources.mlflow_runs import run_if_any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NEWEST: Final = 10
"""Versions of a model that are read. An older champion is found by its alias."""
_AT_ONCE: Final = 8
"""Models that a refresh reads whether or not they have changed: of five specialists, all of them each time."""
_CHANGES: Final = 50
_OVERLAP_MS: Final = 120_000
"""Versions that changed so long before the newest change are read again: the clocks of servers differ."""
_F1: Final = ("test_f1", "f1_score", "f1")
"""Names of F1 in a training run: ours, and those of versions from elsewhere."""


class MlflowSource:
    """Reads the model registry.

    Of many specialists, a refresh reads those with a version that has changed, and a few others in turn: MLflow does
    not say when an alias was moved alone, or a version deleted.
    """

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow
        self._f1: dict[str, tuple[str, float]] = {}
        self._said: dict[str, Readings] = {}
        self._seen_until_ms = 0
        self._seen: set[tuple[str, str, int]] = set()
        self._turn = 0

    def refresh(self) -> Readings:
        """The values now.

        Raises:
            ServiceError: MLflow does not answer or cannot be used.
        """
        readings = Readings()
        with self._mlflow.reading() as client:
            for specialist in self._to_read(client):
                said = Readings()
                self._put(said, client, specialist)
                self._said[str(specialist)] = said
        for specialist in all_specialists():
            readings.add(self._said[str(specialist)])
        return readings

    def _to_read(self, client: "MlflowClient") -> "list[Specialist]":
        """The specialists whose models this refresh reads."""
        all_of_them = list(all_specialists())
        if len(all_of_them) <= _AT_ONCE:
            return all_of_them
        changed = self._changed(client)
        turn = {all_of_them[(self._turn + number) % len(all_of_them)] for number in range(_AT_ONCE)}
        self._turn += _AT_ONCE
        return [
            one
            for one in all_of_them
            if one in turn or str(one) not in self._said or changed is None or one.registered_model in changed
        ]

    def _changed(self, client: "MlflowClient") -> set[str] | None:
        """The models with a version that has changed since the last refresh; None if there may be more of them."""
        since = self._seen_until_ms - _OVERLAP_MS
        found = client.search_model_versions(order_by=["last_updated_timestamp DESC"], max_results=_CHANGES)
        newest = {(one.name, str(one.version), one.last_updated_timestamp) for one in found}
        # Many may have changed within a minute: each of them is read once.
        changed = {(name, number, at) for name, number, at in newest - self._seen if at >= since}
        self._seen, self._seen_until_ms = newest, max((at for *_, at in newest), default=0)
        return None if len(changed) == _CHANGES else {name for name, *_ in changed}

    def _put(self, readings: Readings, client: "MlflowClient", specialist: Specialist) -> None:
        model = specialist.registered_model
        newest = newest_versions(client, model, _NEWEST)
        alias = version_by_alias(client, model, PRODUCTION_ALIAS)
        champions = _in_production(client, model, newest, alias)
        readings.put(own_metrics.IN_PRODUCTION, float(bool(champions)), specialist)
        if champions or alias:
            agrees = [str(one.version) for one in champions] == [alias]
            readings.put(own_metrics.POINTER_AGREES, float(agrees), specialist)
        candidates = [version for version in newest if version.current_stage == STAGING]
        # Of several versions in a stage, others load the one with the highest number.
        for stage, versions in ((PRODUCTION, champions), (STAGING, candidates)):
            for version in versions[:1]:
                readings.put(field_metrics.MODEL_STAGE, 1.0, model, stage, version.version)
        for champion in champions[:1]:
            self._put_champion(readings, client, specialist, champion)

    def _put_champion(
        self, readings: Readings, client: "MlflowClient", specialist: Specialist, champion: "ModelVersion"
    ) -> None:
        data = [champion.tags.get(tag, "unknown") for tag in (DATA_VERSION_TAG, DATA_SOURCE_TAG)]
        readings.put(own_metrics.PRODUCTION, 1.0, specialist, champion.name, champion.version, *data)
        # MLflow does not record when a stage changed. Nothing else updates a version while it is in Production.
        readings.put(own_metrics.PRODUCTION_SINCE, champion.last_updated_timestamp / 1000, specialist)
        end = window_end(champion)
        readings.put(own_metrics.PRODUCTION_WINDOW_END, end.timestamp() if end else None, specialist)
        f1 = self._f1_of(client, champion)
        readings.put(field_metrics.MODEL_F1, f1, specialist)
        readings.put(field_metrics.PERFORMANCE_SCORE, f1, specialist)

    def _f1_of(self, client: "MlflowClient", version: "ModelVersion") -> float | None:
        """F1 as the training run records it; None if the run is gone or has no such metric."""
        if not version.run_id:
            return None
        # Not by its number, which another version gets if the model is deleted.
        run_id, known = self._f1.get(version.name, (None, None))
        if run_id == version.run_id:
            return known
        run = run_if_any(client, version.run_id)
        metrics = run.data.metrics if run else {}
        found = next((metrics[name] for name in _F1 if name in metrics), None)
        if found is not None:
            # Only of the champion: otherwise this would grow with every promotion.
            self._f1[version.name] = version.run_id, found
        return found


def _in_production(
    client: "MlflowClient", model: str, newest: "Sequence[ModelVersion]", alias: str | None
) -> "list[ModelVersion]":
    """The versions in stage Production, highest number first."""
    found = [version for version in newest if version.current_stage == PRODUCTION]
    if alias and alias not in {str(version.version) for version in newest}:
        named = version_if_any(client, model, alias)
        found += [named] if named and named.current_stage == PRODUCTION else []
    if not found and len(newest) == _NEWEST:
        # The server reads all versions for this, so it is the last resort.
        latest = client.get_registered_model(model).latest_versions
        found = [version for version in latest if version.current_stage == PRODUCTION]
    return found
