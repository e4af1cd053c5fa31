"""The exporter over real services: complete, truthful, and silent about a source that is down."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from prometheus_client import CollectorRegistry

from nhm_assets.domain.specialists import FIVE
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.exporter import METRICS, Exporter, registry_of, serve
from nhm_assets.monitoring.metric import Kind, Source
from tests.support.dagster_internals import DaemonHeartbeat, TickStatus
from tests.support.documents import NOW, WEEK_END, feedback, put, reviewed_opinions
from tests.support.instigators import put_schedule, put_sensor, put_tick
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.processes import silent_port
from tests.support.retrainings import end_run, partition, put_run

MODEL = "technical-evaluator"
ABSENT_AFTER_A_FIRST_PROMOTION = {
    own_metrics.SERVING_ON_LINE,
    own_metrics.SHADOW_AGREEMENT,
    own_metrics.MISSING_PLANS,
    own_metrics.MISSING_OPINIONS,
    own_metrics.SERVED_QUALITY,
    own_metrics.SERVED_PSI,
    own_metrics.AB_DIFFERENCE,
}
OWN_PROCESS = ("process_", "python_")


def exporter_of(platform: Platform, open_instance: Callable[[], DagsterInstance] | None = None) -> Exporter:
    return Exporter.of(platform.settings, open_instance or (lambda: platform.instance))


def families(exporter: Exporter) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """What a scrape shows: metric -> its type and labels, once per series."""
    shown: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for family in registry_of(exporter).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith(OWN_PROCESS):
            labels = [tuple(sample.labels) for sample in family.samples]
            shown[name] = [(family.type, of_one) for of_one in labels]
    return shown


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def put_documents(platform: Platform) -> None:
    """Feedback to learn from, one document that cannot be used, and one that came after the window."""
    opinions, reviews = reviewed_opinions(400)
    unusable = feedback("unusable", human_rating="good", submitted_at=WEEK_END - timedelta(days=1))
    late = feedback("late", submitted_at=NOW - timedelta(days=1))
    put(platform.database, opinions=opinions, feedback=[*reviews, unusable, late])


def something_of_everything(platform: Platform) -> None:
    """What is not there after a retraining alone: daemons, ticks, a queue, a rollout, moves in progress."""
    now, instance, log = datetime.now(UTC), platform.instance, platform.database["model_audit_log"]
    instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp(), "SENSOR", "id", []))
    put_tick(instance, put_schedule(instance, "weekly_retraining_schedule", "0 2 * * 0"), TickStatus.SUCCESS, 1000.0)
    put_tick(instance, put_sensor(instance, "feedback_volume_sensor", 30), TickStatus.SKIPPED, now.timestamp())
    put_run(instance, partition(specialist="business"), status=DagsterRunStatus.QUEUED)
    started = put_run(instance, partition(specialist="behavior"), status=DagsterRunStatus.STARTING)
    end_run(instance, started, DagsterEventType.RUN_START)
    log.insert_many(
        [
            {"model": MODEL, "state": "open", "kind": "promotion", "at": NOW},
            {"model": MODEL, "state": "unsettled", "kind": "foreign_move", "at": NOW},
            {
                "model": "specialist_rollout",
                "specialist": "technical",
                "version": "1",
                "state": "done",
                "result": "rolled out",
                "pods": {"serves": 2, "denies": 0, "unreachable": 1},
                "released_at": NOW,
            },
        ]
    )


def lines(exporter: Exporter) -> set[str]:
    """The series that a scrape shows, without their values."""
    from prometheus_client import generate_latest

    text = generate_latest(registry_of(exporter)).decode()
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith(("#", *OWN_PROCESS))}


@pytest.mark.servers
def test_after_a_retraining_every_metric_of_the_tables_is_shown_with_its_type_and_labels(platform: Platform):
    put_documents(platform)
    exporter = exporter_of(platform)
    exporter.refresh()
    assert value(registry_of(exporter), "nhm_in_production", specialist="technical") == 0
    assert platform.retrain().success
    assert platform.retrain().success
    something_of_everything(platform)
    exporter.refresh()

    shown = families(exporter)
    expected = {metric.name: (str(metric.kind), set(metric.labels)) for metric in METRICS}
    # The first version has no champion that could be asked, it is not uncertain, and has given no opinion yet.
    assert expected.keys() - shown.keys() == {metric.name for metric in ABSENT_AFTER_A_FIRST_PROMOTION}
    assert shown.keys() <= expected.keys()
    for name, series in shown.items():
        assert {(kind, frozenset(set(labels) - {"le"})) for kind, labels in series} == {
            (expected[name][0], frozenset(expected[name][1]))
        }, name
    _assert_values(registry_of(exporter))
    _assert_a_source_that_is_down_is_silent(platform, lines(exporter))


def _assert_values(registry: CollectorRegistry) -> None:
    technical = {"specialist": "technical"}
    assert value(registry, "nhm_last_outcome", outcome="unchanged", **technical) == 1
    assert value(registry, "nhm_runs_ended_total", outcome="promoted", **technical) == 1
    assert value(registry, "nhm_run_duration_seconds_count", **technical) == 2
    assert value(registry, "nhm_in_production", **technical) == 1
    assert value(registry, "nhm_pointer_agrees", **technical) == 1
    assert value(registry, "nhm_production_window_end_timestamp_seconds", **technical) == WEEK_END.timestamp()
    assert value(registry, "nhm_learned_until_timestamp_seconds", **technical) == WEEK_END.timestamp()
    assert value(registry, "nhm_feedback_waiting", **technical) == 1
    assert value(registry, "nhm_quarantined_feedback", reason="invalid_rating", **technical) == 1
    assert value(registry, "nhm_rejected_feedback_ratio", **technical) == pytest.approx(1 / 401)
    assert value(registry, "nhm_quality_threshold_ratio", metric="recall", **technical) == 0.7
    f1 = value(registry, "nhm_quality_ratio", role="candidate", metric="f1", **technical)
    assert f1 == value(registry, "neural_hive_mlflow_model_f1", specialist_type="technical")
    assert value(registry, "mlflow_model_stage", model_name=MODEL, stage="Production", version="1") == 1
    assert value(registry, "nhm_runs", status="queued") == 1
    assert value(registry, "nhm_rollout_pods", answer="unreachable", **technical) == 1
    assert value(registry, "nhm_foreign_moves", **technical) == 1
    assert value(registry, "nhm_open_move_timestamp_seconds", kind="promotion", **technical) == NOW.timestamp()
    assert value(registry, "neural_hive_retraining_dataset_size", specialist_type="technical", dataset_type="total")
    assert value(registry, "nhm_consecutive_broken", specialist="business") is None


def _assert_a_source_that_is_down_is_silent(platform: Platform, whole: set[str]) -> None:
    """Its series are absent, those of the others are all there, and `nhm_up` tells."""

    def no_database() -> DagsterInstance:
        raise ConnectionError("Dagster's database is down")

    nowhere = {
        Source.MONGODB: exporter_of(platform.with_settings(mongodb_uri="mongodb://127.0.0.1:9", mongodb_timeout_s=0.1)),
        Source.MLFLOW: exporter_of(platform.with_settings(mlflow_tracking_uri="http://127.0.0.1:9")),
        Source.DAGSTER: exporter_of(platform, no_database),
    }
    for down, exporter in nowhere.items():
        exporter.refresh()
        registry = registry_of(exporter)
        assert {name: value(registry, "nhm_up", source=name) for name in nowhere} == {
            name: float(name is not down) for name in nowhere
        }
        of_it = {metric.name for metric in METRICS if metric.source is down}
        if down is Source.DAGSTER:
            # From when on feedback waits is known to Dagster alone.
            of_it |= {own_metrics.FEEDBACK_WAITING.name, "neural_hive_feedback_count_current"}
        remaining = {series for series in whole if _metric_of(series) not in of_it}
        about_itself = {f'nhm_refresh_{what}_seconds{{source="{down}"}}' for what in ("age", "duration")}
        assert lines(exporter) == remaining - about_itself


def _metric_of(series: str) -> str:
    name = series.partition("{")[0].partition(" ")[0]
    histograms = [metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM]
    return next((one for one in histograms if name.startswith(one)), name)


def test_a_scrape_answers_at_once_while_every_source_hangs(platform: Platform):
    port, asked_s = free_port(), 20
    hanging = threading.Event()
    with silent_port() as silent:
        settings = {
            "mongodb_uri": f"mongodb://127.0.0.1:{silent}",
            "mlflow_tracking_uri": f"http://127.0.0.1:{silent}",
            "mongodb_timeout_s": 3 * asked_s,
            "mlflow_timeout_s": 3 * asked_s,
        }
        exporter = exporter_of(
            platform.with_settings(**settings), lambda: hanging.wait(3 * asked_s) and platform.instance
        )
        server, _ = serve(exporter, "127.0.0.1", port)
        exporter.start()
        try:
            requests.get(f"http://127.0.0.1:{port}/metrics", timeout=asked_s)
            answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=asked_s)
        finally:
            hanging.set()
            exporter.stop()
            server.shutdown()
            server.server_close()
    assert 'nhm_up{source="mongodb"} 0.0' in answer.text


def test_settings_are_shown_whatever_is_down(platform: Platform):
    registry = registry_of(exporter_of(platform))
    for specialist in FIVE:
        assert value(registry, "nhm_quality_threshold_ratio", specialist=specialist, metric="f1") == 0.72
        assert value(registry, "neural_hive_retraining_feedback_threshold", specialist_type=specialist) == 100
