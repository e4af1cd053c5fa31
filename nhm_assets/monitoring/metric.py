"""What a metric is, and the values that one refresh of a source has read."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Source(StrEnum):
    """Where the values of a metric come from."""

    DAGSTER = "dagster"
    MLFLOW = "mlflow"
    MONGODB = "mongodb"
    SETTINGS = "settings"
    EXPORTER = "exporter"


class Kind(StrEnum):
    """The type of a metric, as Prometheus names it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric: a row of docs/metrics.md.

    Attributes:
        unit: base unit of the values; empty for a number without a unit.
        meaning: one or two sentences, for whoever writes an alert or a dashboard.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    meaning: str
    source: Source


@dataclass(frozen=True)
class Distribution:
    """What a histogram holds: how many values are at most each bound (and above all of them), and their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> "Distribution":
        """A histogram without values."""
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)

    def plus(self, value: float) -> "Distribution":
        """The histogram with one more value."""
        place = bisect_left(self.bounds, value)
        counts = tuple(count + (number == place) for number, count in enumerate(self.counts))
        return Distribution(self.bounds, counts, self.total + value)

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper bound -> number of values up to it, as Prometheus wants them."""
        sums = [float(sum(self.counts[: number + 1])) for number in range(len(self.counts))]
        return list(zip([*map(str, self.bounds), "+Inf"], sums, strict=True))


@dataclass
class Readings:
    """The values that one refresh has read. A series that cannot be told now is not set, and so is absent."""

    values: dict[Metric, dict[tuple[str, ...], float | Distribution]] = field(default_factory=dict)

    def put(self, metric: Metric, value: float | Distribution | None, *labels: object) -> None:
        """Set the value of one series; None leaves it absent. Labels come in the order of the metric's labels."""
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
        if value is not None:
            self.values.setdefault(metric, {})[tuple(map(str, labels))] = value

    def add(self, others: "Readings") -> None:
        """Add the series of others to these."""
        for metric, series in others.values.items():
            self.values.setdefault(metric, {}).update(series)

    def put_state(self, metric: Metric, state: object, states: "list[str]", *labels: object) -> None:
        """Set 1 for the present one of several states, and 0 for the others. The state is the metric's last label."""
        for one in states:
            self.put(metric, float(one == str(state)), *labels, one)

    def put_counts(self, metric: Metric, counts: Mapping[str, float], *labels: object) -> None:
        """Set one series per key of a map. The key is the metric's last label."""
        for key, count in counts.items():
            self.put(metric, float(count), *labels, key)

    def as_json(self) -> list[dict[str, object]]:
        """Every series that is no histogram: its name, labels and value."""
        return [
            {"name": metric.name, "labels": dict(zip(metric.labels, labels, strict=True)), "value": value}
            for metric, series in self.values.items()
            for labels, value in series.items()
            if not isinstance(value, Distribution)
        ]

    def plain(self, metric: Metric) -> dict[str, float]:
        """The values of a metric with one label, by that label."""
        series = self.values.get(metric, {})
        return {labels[0]: value for labels, value in series.items() if not isinstance(value, Distribution)}
