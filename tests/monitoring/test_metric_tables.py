"""The tables of metrics: one name each, by Prometheus' conventions, and docs/metrics.md is made from them."""

import re

import pytest

from nhm_assets.monitoring.document import document
from nhm_assets.monitoring.exporter import METRICS
from nhm_assets.monitoring.field_metrics import FIELD_METRICS
from nhm_assets.monitoring.metric import Kind, Metric, Source
from nhm_assets.monitoring.own_metrics import OWN_METRICS
from tests.support.processes import ROOT

NAMES_OF_THE_FIELD = {
    "mlflow_model_stage": {"model_name", "stage", "version"},
    "neural_hive_mlflow_model_f1": {"specialist_type"},
    "neural_hive_retraining_triggers_total": {"specialist_type", "status"},
    "neural_hive_retraining_feedback_threshold": {"specialist_type"},
    "neural_hive_feedback_count_current": {"specialist_type"},
    "neural_hive_retraining_last_trigger_timestamp": {"specialist_type"},
    "neural_hive_retraining_mlflow_run_duration_seconds": set(),
    "neural_hive_retraining_model_performance": {"specialist_type", "metric_name"},
    "neural_hive_retraining_dataset_size": {"specialist_type", "dataset_type"},
    "neural_hive_auto_retrain_last_success_timestamp": {"specialist_type"},
    "neural_hive_model_performance_score": {"specialist_type"},
}
"""Metrics that dashboards and alerts of other systems query, with the labels that they use."""
ENDINGS = {"seconds": "_seconds", "seconds since 1970": "_timestamp_seconds", "ratio": "_ratio", "bytes": "_bytes"}


def test_the_document_is_made_from_the_tables():
    assert (ROOT / "docs/metrics.md").read_text() == document(), "run `make metrics-document`"


def test_every_name_is_there_once():
    names = [metric.name for metric in METRICS]
    assert sorted(names) == sorted(set(names))


def test_the_names_of_other_systems_are_complete_with_their_labels():
    assert {metric.name: set(metric.labels) for metric in FIELD_METRICS} == NAMES_OF_THE_FIELD


@pytest.mark.parametrize("metric", OWN_METRICS, ids=lambda metric: metric.name)
def test_an_own_name_follows_the_conventions(metric: Metric):
    assert re.fullmatch(r"nhm_[a-z0-9_]+", metric.name)
    assert metric.name.endswith(ENDINGS.get(metric.unit, ""))
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert {*metric.labels}.isdisjoint({"le", "job", "instance", "quantile"})


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_meaning_is_a_sentence(metric: Metric):
    assert metric.meaning.endswith(".")
    assert metric.source in Source
