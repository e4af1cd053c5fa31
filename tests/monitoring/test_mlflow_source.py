"""Which version is in Production, found without reading all versions."""

from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from nhm_assets.domain.specialists import all_specialists
from nhm_assets.monitoring import field_metrics, mlflow_source, own_metrics
from nhm_assets.monitoring.metric import Metric, Readings
from nhm_assets.monitoring.mlflow_source import MlflowSource
from nhm_assets.registry.versions import newest_versions
from resources.mlflow import Mlflow
from tests.support.documents import WEEK_END
from tests.support.registry import MODEL, Registry

MANY = 25
"""More versions than a refresh reads."""


def read(registry: Registry) -> Readings:
    return MlflowSource(Mlflow(uri=None, home=registry.home, timeout_s=10)).refresh()


def technical(readings: Readings, metric: Metric) -> float | None:
    value: Any = readings.values.get(metric, {}).get(("technical",))
    return value


def versions_in(readings: Readings, stage: str) -> list[str]:
    return [labels[2] for labels in readings.values.get(field_metrics.MODEL_STAGE, {}) if labels[1] == stage]


def test_without_a_model_nothing_is_in_production(registry: Registry):
    readings = read(registry)
    assert technical(readings, own_metrics.IN_PRODUCTION) == 0
    assert technical(readings, own_metrics.POINTER_AGREES) is None
    assert field_metrics.MODEL_STAGE not in readings.values


def test_a_champion_behind_many_newer_versions_is_found_by_its_alias(registry: Registry):
    champion = registry.add(WEEK_END, stage="Production")
    for _ in range(MANY):
        registry.unstaged(WEEK_END)
    readings = read(registry)
    assert versions_in(readings, "Production") == [champion]
    assert technical(readings, own_metrics.POINTER_AGREES) == 1
    assert technical(readings, own_metrics.PRODUCTION_WINDOW_END) == WEEK_END.timestamp()


def test_a_champion_from_elsewhere_that_has_no_alias_is_found_too(registry: Registry):
    champion = registry.add(None, stage="Production")
    registry.client().delete_registered_model_alias(MODEL, "production")
    for _ in range(MANY):
        registry.unstaged(None)
    readings = read(registry)
    assert versions_in(readings, "Production") == [champion]
    assert technical(readings, own_metrics.IN_PRODUCTION) == 1
    assert technical(readings, own_metrics.POINTER_AGREES) == 0
    assert technical(readings, own_metrics.PRODUCTION_WINDOW_END) is None


def test_of_many_specialists_those_that_changed_are_read_at_once_and_the_others_in_turn(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    """Here five are many. A move of the alias alone leaves no trace that MLflow could be asked for."""
    monkeypatch.setattr(mlflow_source, "_AT_ONCE", 1)
    monkeypatch.setattr(mlflow_source, "_OVERLAP_MS", 0)
    source = MlflowSource(Mlflow(uri=None, home=registry.home, timeout_s=10))
    champion = registry.add(WEEK_END, stage="Production")
    readings = source.refresh()
    assert technical(readings, own_metrics.POINTER_AGREES) == 1
    assert readings.plain(own_metrics.IN_PRODUCTION) == {name: float(name == "technical") for name in all_specialists()}

    registry.client().transition_model_version_stage(MODEL, champion, "Archived")
    assert technical(source.refresh(), own_metrics.IN_PRODUCTION) == 0
    registry.client().transition_model_version_stage(MODEL, champion, "Production")
    assert technical(source.refresh(), own_metrics.POINTER_AGREES) == 1

    registry.client().delete_registered_model_alias(MODEL, "production")
    assert 0 in [technical(source.refresh(), own_metrics.POINTER_AGREES) for _ in all_specialists()]


def test_versions_that_changed_within_a_minute_are_read_once(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mlflow_source, "_AT_ONCE", 1)
    monkeypatch.setattr(mlflow_source, "_CHANGES", 3)
    read: list[str] = []

    def recorded(client: MlflowClient, model: str, count: int) -> list[ModelVersion]:
        read.append(model)
        return newest_versions(client, model, count)

    monkeypatch.setattr(mlflow_source, "newest_versions", recorded)
    source = MlflowSource(Mlflow(uri=None, home=registry.home, timeout_s=10))
    for _ in range(4):
        registry.add(WEEK_END)
    for models in (5, 1, 1):
        source.refresh()
        assert len(read) == models
        read.clear()
    registry.add(WEEK_END)
    source.refresh()
    assert MODEL in read


@pytest.mark.parametrize("what", ["stage", "alias", "archived", "second version"])
def test_stage_and_alias_disagree_whichever_of_them_was_moved(registry: Registry, what: str):
    first = registry.add(WEEK_END, stage="Archived")
    second = registry.add(WEEK_END, stage="Production")
    client = registry.client()
    match what:
        case "stage":
            client.transition_model_version_stage(MODEL, first, "Production", archive_existing_versions=True)
        case "alias":
            client.set_registered_model_alias(MODEL, "production", first)
        case "archived":
            client.transition_model_version_stage(MODEL, second, "Archived")
        case "second version":
            client.transition_model_version_stage(MODEL, first, "Production")
    assert technical(read(registry), own_metrics.POINTER_AGREES) == 0


def test_f1_is_that_of_the_version_that_serves_also_if_it_got_the_number_of_another(registry: Registry):
    """MLflow numbers the versions of a model that was deleted from 1 again."""
    source = MlflowSource(Mlflow(uri=None, home=registry.home, timeout_s=10))
    client = registry.client()
    experiment = client.create_experiment("technical-specialist")
    for f1 in (0.8, 0.9):
        run_id = client.create_run(experiment).info.run_id
        client.log_metric(run_id, "test_f1", f1)
        client.create_registered_model(MODEL)
        version = client.create_model_version(MODEL, "file:///nowhere", run_id=run_id).version
        client.transition_model_version_stage(MODEL, version, "Production")
        assert [technical(source.refresh(), field_metrics.MODEL_F1) for _ in range(2)] == [f1, f1]
        client.delete_registered_model(MODEL)


def test_of_several_candidates_the_newest_is_shown(registry: Registry):
    registry.add(WEEK_END)
    newest = registry.add(WEEK_END)
    assert versions_in(read(registry), "Staging") == [newest]
