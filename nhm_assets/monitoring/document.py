"""Makes docs/metrics.md from the tables of metrics: `python -m nhm_assets.monitoring.document > docs/metrics.md`."""

import sys
from textwrap import wrap
from typing import Final

from nhm_assets.monitoring.field_metrics import FIELD_METRICS
from nhm_assets.monitoring.metric import Metric, Source
from nhm_assets.monitoring.own_metrics import OWN_METRICS

_INTRODUCTION: Final = """\
# Metrics

`nhm exporter` shows these metrics at `http://HOST:9465/metrics`. `make metrics-document` makes this page from the
tables in `nhm_assets/monitoring/own_metrics.py` and `nhm_assets/monitoring/field_metrics.py`.

The exporter reads each source every EXPORTER_REFRESH_S (30) seconds in the background; a scrape asks no service. If a
source does not answer, `nhm_up` is 0 for it and its series are absent. The others stay. Times are seconds since 1970,
so the age of something is `time() - METRIC`. Counters and histograms begin at 0 when the exporter starts.

Beside these, there are the usual `process_*` and `python_info` metrics of the exporter's own process.

Each entry names a metric with its labels, its type and unit, and says what it means. The headings name the source.
"""
_FIELD: Final = """\
## Names that other dashboards and alerts use

The same facts, by the names that dashboards and alerts of the Neural Hive Mind already use.
"""


_WIDTH: Final = 120
_SOURCES: Final = {
    Source.DAGSTER: "From Dagster's database",
    Source.MLFLOW: "From MLflow",
    Source.MONGODB: "From MongoDB",
    Source.SETTINGS: "From the settings",
    Source.EXPORTER: "About the exporter itself",
}


def document() -> str:
    """The whole page."""
    own = [line for source, title in _SOURCES.items() for line in _section(source, title)]
    field = [_entry(metric, source=f", from {metric.source}") for metric in FIELD_METRICS]
    return "\n".join([_INTRODUCTION, *own, _FIELD, *field, ""])


def _section(source: Source, title: str) -> list[str]:
    return [f"## {title}\n", *(_entry(metric) for metric in OWN_METRICS if metric.source is source), ""]


def _entry(metric: Metric, source: str = "") -> str:
    labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
    unit = f", {metric.unit}" if metric.unit else ""
    text = f"- `{metric.name}{labels}` ({metric.kind}{unit}{source}): {metric.meaning}"
    return "\n".join(wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))


if __name__ == "__main__":
    sys.stdout.write(document())
