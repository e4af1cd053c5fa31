"""The exporter: shows Prometheus what the sources last said. A scrape asks no service, so it always answers at once."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.specialists import all_specialists
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.field_metrics import FIELD_METRICS
from nhm_assets.monitoring.metric import Distribution, Kind, Metric, Readings, Source
from nhm_assets.monitoring.mlflow_source import MlflowSource
from nhm_assets.monitoring.mongo_source import MongoSource, OpensDatabase
from nhm_assets.monitoring.own_metrics import OWN_METRICS
from nhm_assets.monitoring.refresh import RefreshedSource
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from resources.mlflow import Mlflow

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from dagster import DagsterInstance
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Family

METRICS: Final = (*OWN_METRICS, *FIELD_METRICS)
"""Every metric that the exporter can show, besides those of its own process."""


@dataclass(frozen=True, eq=False)
class Exporter:
    """All sources, and what the settings say."""

    settings: Settings
    sources: tuple[RefreshedSource, ...]

    @classmethod
    def of(cls, settings: Settings, open_instance: "Callable[[], DagsterInstance]") -> "Exporter":
        """The exporter of these settings; nothing is contacted before the first refresh.

        Args:
            settings: say where everything is.
            open_instance: opens Dagster's instance.
        """
        from nhm_assets.monitoring.dagster_source import refreshed_dagster

        return cls.beside(refreshed_dagster(settings, open_instance), settings, mlflow_of(settings), mongo_of(settings))

    @classmethod
    def beside(cls, dagster: RefreshedSource, settings: Settings, registry: Mlflow, mongo: OpensDatabase) -> "Exporter":
        """The exporter that reads Dagster in this way, this MLflow and this MongoDB."""
        every_s = settings.exporter_refresh_s
        mlflow = RefreshedSource(Source.MLFLOW, MlflowSource(registry).refresh, every_s=every_s)

        def learned_until() -> dict[str, float] | None:
            said = dagster.readings
            return said.plain(own_metrics.LEARNED_UNTIL) if said else None

        mongodb = RefreshedSource(Source.MONGODB, MongoSource(mongo, settings, learned_until).refresh, every_s=every_s)
        return cls(settings, (dagster, mlflow, mongodb))

    def refresh(self, only: Collection[str] = tuple(Source)) -> None:
        """Read every source once, one after another; or only those that are named."""
        for source in self.sources:
            if source.source in only:
                source.refresh()

    def start(self) -> None:
        """Keep every source fresh, in the background."""
        for source in self.sources:
            source.start()

    def stop(self) -> None:
        """Stop that."""
        for source in self.sources:
            source.stop()

    def readings(self) -> Readings:
        """All series that can be shown now."""
        shown = _settings_readings(self.settings)
        shown.put(own_metrics.BUILD, 1.0, version("nhm-assets"))
        for source in self.sources:
            said = source.readings
            shown.values.update(said.values if said else {})
            shown.put(own_metrics.UP, float(said is not None), source.source)
            shown.put(own_metrics.REFRESH_AGE, source.age_s, source.source)
            shown.put(own_metrics.REFRESH_DURATION, source.duration_s, source.source)
        return shown

    def collect(self) -> "Iterator[Family]":
        """The series in the form of Prometheus' library."""
        readings = self.readings().values
        for metric in METRICS:
            if series := readings.get(metric):
                yield _family(metric, series)


def _settings_readings(settings: Settings) -> Readings:
    readings = Readings()
    readings.put(own_metrics.REJECTED_THRESHOLD, settings.max_rejected_fraction)
    for specialist in all_specialists():
        readings.put_counts(own_metrics.QUALITY_THRESHOLD, settings.thresholds_of(specialist), specialist)
        for metric in (own_metrics.FEEDBACK_THRESHOLD, field_metrics.THRESHOLD):
            readings.put(metric, settings.volume_threshold, specialist)
    return readings


def _family(metric: Metric, series: dict[tuple[str, ...], float | Distribution]) -> "Family":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in series.items():
            if isinstance(value, Distribution):
                histogram.add_metric(labels, value.cumulative(), value.total)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in series.items():
        if not isinstance(value, Distribution):
            family.add_metric(labels, value)
    return family


def registry_of(exporter: Exporter) -> "CollectorRegistry":
    """Prometheus' registry with all series of the exporter and of its process."""
    from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector):
        collector(registry=registry)
    registry.register(exporter)
    return registry


def serve(exporter: Exporter, address: str, port: int) -> "tuple[WSGIServer, Thread]":
    """Answer scrapes at http://address:port/metrics in the background."""
    from prometheus_client import start_http_server

    return start_http_server(port, address, registry=registry_of(exporter))
