"""The recorded report of a version: reused only if a new evaluation would give the same result."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, MetadataValue
from mlflow.entities.model_registry import ModelVersion

from nhm_assets.domain.dagster_names import REPORT_METADATA
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport, ForeignChampion
from nhm_assets.evaluation.report_cache import recorded_report
from tests.support.documents import WEEK, WEEK_END
from tests.support.reports import champion, metrics, report, trained_model

PARTITION = str(Partition.parse(WEEK, "technical").key)
REUSED = trained_model(reused=True)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        yield instance


def record(instance: DagsterInstance, content: EvaluationReport | dict[str, Any], partition: str = PARTITION) -> None:
    """The materialization of a report in the instance."""
    value = content.model_dump(mode="json") if isinstance(content, EvaluationReport) else content
    metadata = {REPORT_METADATA: MetadataValue.json(value)}
    made = AssetMaterialization(AssetKey("evaluation_report"), partition=partition, metadata=metadata)
    instance.report_runless_asset_event(made)


def in_production(version: str) -> ModelVersion:
    return ModelVersion("technical-evaluator", version, creation_timestamp=0)


def found(instance: DagsterInstance, champion_now: str | None, trained: Any = REUSED) -> EvaluationReport | None:
    return recorded_report(instance, PARTITION, trained, in_production(champion_now) if champion_now else None)


def test_a_report_against_the_current_champion_is_reused_unchanged(instance):
    made = report(champion=champion(0.8, version="1"))
    record(instance, made)
    assert found(instance, "1") == made
    assert found(instance, "1").digest() == made.digest()


def test_the_digest_does_not_depend_on_the_order_of_stored_maps(instance):
    """Verdicts are found by the digest; with another one they would all be missing."""
    made = report(champion=champion(0.8, version="1"))
    backwards = {key: made.model_dump(mode="json")[key] for key in reversed(EvaluationReport.model_fields)}
    backwards["importances"] = dict(reversed(backwards["importances"].items()))
    assert EvaluationReport.model_validate(backwards).digest() == made.digest()
    better = made.model_copy(update={"candidate": metrics(f1=0.99)})
    assert better.digest() != made.digest()


@pytest.mark.parametrize("compared", [None, 0.8])
def test_a_report_on_a_foreign_champion_is_never_reused(instance, compared):
    """Settings may allow the comparison by now."""
    foreign = ForeignChampion(version="1", reason="this platform did not register it")
    record(instance, report(champion=champion(compared) if compared else None, foreign_champion=foreign))
    assert found(instance, "1") is None
    assert found(instance, None) is None


def test_a_report_without_a_champion_is_reused_while_there_is_none(instance):
    record(instance, report())
    assert found(instance, None) == report()
    assert found(instance, "1") is None


@pytest.mark.parametrize("champion_now", ["7", None])
def test_a_report_against_another_champion_is_not_reused(instance, champion_now):
    record(instance, report(champion=champion(0.8, version="1")))
    assert found(instance, champion_now) is None


def test_a_version_that_became_the_champion_keeps_its_report(instance):
    record(instance, report(champion=champion(0.8, version="1")))
    assert found(instance, REUSED.version).champion.version == "1"


def test_a_report_of_the_running_week_is_not_reused_once_the_week_has_closed(instance):
    """The gate asks more of a candidate whose week will be evaluated again."""
    record(instance, report(champion=champion(0.8, version="1"), window_end=WEEK_END - timedelta(days=2)))
    assert found(instance, "1") is None
    assert found(instance, REUSED.version) is not None


def test_a_new_version_is_evaluated(instance):
    record(instance, report())
    assert found(instance, None, trained_model(reused=False)) is None


@pytest.mark.parametrize("field", ["model", "version", "run_id", "data_version", "code_version"])
def test_a_report_on_another_version_data_or_code_is_not_reused(instance, field):
    record(instance, report(**{field: "another"}))
    assert found(instance, None) is None


def test_a_report_of_another_partition_is_not_reused(instance):
    record(instance, report(), partition=str(Partition.parse("2026-02-22", "technical").key))
    assert found(instance, None) is None


def test_the_newest_report_on_the_version_decides(instance):
    record(instance, report())
    record(instance, report(champion=champion(0.8, version="1")))
    assert found(instance, None) is None
    assert found(instance, "1") is not None


def test_a_report_of_an_earlier_release_is_not_reused(instance):
    """It lacks what an evaluation finds by now."""
    later = {name for name, version in EvaluationReport.ADDED.items() if version > 3}
    older = report().model_dump(mode="json", exclude={"schema_version", *later})
    record(instance, older)
    assert found(instance, None) is None


def test_a_report_of_another_release_is_skipped(instance):
    record(instance, report())
    record(instance, report().model_dump(mode="json") | {"roc_auc": 0.9})
    record(instance, report().model_dump(mode="json") | {"schema_version": EvaluationReport.current_version() + 1})
    record(instance, report(version="another"))
    assert found(instance, None) == report()
