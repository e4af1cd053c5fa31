"""What a person has to act on now, by the values of one refresh: the alerts that nothing but a person ends.

Prometheus waits before it fires, so that what passes by itself wakes nobody. Here a person asks, and is told at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nhm_assets.domain.dagster_names import SCHEDULE
from nhm_assets.domain.links import runbook_link
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.metric import Distribution, Metric, Readings

_MINUTE: Final = 60.0
_DAY: Final = 86400.0
_LABELS: Final = ("specialist", "daemon", "name")
"""The label that says what a need is about; the first one that the series has."""
Series = dict[str, str]
Holds = Callable[[float, Series, Readings], bool]


@dataclass(frozen=True)
class Need:
    """One thing to act on.

    Attributes:
        alert: whose section in the runbook says what to do.
        about: a specialist, a daemon, a schedule or a sensor; empty if it is the platform.
        sentence: what is so.
        runbook: where that section is.
    """

    alert: str
    about: str
    sentence: str
    runbook: str


@dataclass(frozen=True)
class _Rule:
    alert: str
    metric: Metric
    holds: Holds
    sentence: str
    is_time: bool = False
    """Whether the values are times, so that their age counts."""


_RULES: Final = (
    _Rule(
        "SpecialistRetrainingJobFailed",
        own_metrics.CONSECUTIVE_BROKEN,
        lambda value, series, all_: value > 0 and not all_.plain(own_metrics.RETRY_PENDING).get(series["specialist"]),
        "the newest run broke ({value:.0f} in a row), and nothing retries it",
    ),
    _Rule(
        "SpecialistCandidatesBelow",
        own_metrics.BELOW_IN_A_ROW,
        lambda value, *_: value >= 3,
        "{value:.0f} candidates in a row were below the line",
    ),
    _Rule(
        "SpecialistModelMovedByOthers",
        own_metrics.FOREIGN_MOVES,
        lambda value, *_: value > 0,
        "somebody else moved its Production version, and nobody has settled it",
    ),
    _Rule(
        "SpecialistStageAndAliasDisagree",
        own_metrics.POINTER_AGREES,
        lambda value, *_: value == 0,
        "stage Production and alias `production` name different versions",
    ),
    _Rule(
        "SpecialistPromotionOpen",
        own_metrics.OPEN_MOVE,
        lambda age, series, _: series["kind"] != "rollout" and age > 15 * _MINUTE,
        "a {kind} began {minutes:.0f} minutes ago and has not ended",
        is_time=True,
    ),
    _Rule(
        "SpecialistRolloutDenied",
        own_metrics.ROLLOUT_PODS,
        lambda value, series, _: series["answer"] == "denies" and value > 0,
        "{value:.0f} pods deny that they serve the promoted version",
    ),
    _Rule(
        "SpecialistRolloutDenied",
        own_metrics.ROLLOUT,
        lambda _, series, __: series["result"] == "failed",
        "the restart for version {version} failed",
    ),
    _Rule(
        "NhmDaemonStale",
        own_metrics.HEARTBEAT,
        lambda age, *_: age > 5 * _MINUTE,
        "no sign of life for {minutes:.0f} minutes, so nothing is scheduled or launched",
        is_time=True,
    ),
    _Rule(
        "NhmWeeklyTickMissed",
        own_metrics.LAST_TICK,
        lambda age, series, all_: (
            series["name"] == SCHEDULE and series["status"] == _newest_good(all_) and age > 8 * _DAY
        ),
        "its last evaluation that succeeded is {days:.0f} days ago",
        is_time=True,
    ),
    _Rule(
        "NhmWeeklyTickMissed",
        own_metrics.TICK_SOURCE_RUNNING,
        lambda value, series, _: series["name"] == SCHEDULE and value == 0,
        "it is switched off, so nothing is retrained on Sunday",
    ),
    _Rule(
        "NhmTicksFailing",
        own_metrics.FAILED_TICKS,
        lambda value, *_: value >= 3,
        "{value:.0f} evaluations failed, one after another",
    ),
    _Rule(
        "NhmQueueStuck",
        own_metrics.OLDEST_QUEUED,
        lambda age, _, all_: age > 240 * _MINUTE or (age > 15 * _MINUTE and not _runs_something(all_)),
        "a run has waited in the queue for {minutes:.0f} minutes",
        is_time=True,
    ),
    _Rule(
        "NhmCodeLocationBroken",
        own_metrics.HEARTBEAT,
        lambda age, series, all_: series["daemon"] == "SENSOR" and age < 5 * _MINUTE and not _code_loads(all_),
        "it lives, but no sensor has been evaluated for ten minutes: the code location does not load",
        is_time=True,
    ),
)
ALERTS: Final = frozenset(rule.alert for rule in _RULES)
"""The alerts that ask for a person."""


def needs(readings: Readings, *, now: datetime, runbook: str) -> list[Need]:
    """Everything that a person has to act on. `runbook` is the address of docs/runbook.md."""
    return [need for rule in _RULES for need in _found(rule, readings, now.timestamp(), runbook)]


def _found(rule: _Rule, readings: Readings, now: float, runbook: str) -> Iterator[Need]:
    for labels, read in readings.values.get(rule.metric, {}).items():
        if isinstance(read, Distribution):
            continue
        series = dict(zip(rule.metric.labels, labels, strict=True))
        value = now - read if rule.is_time else read
        if rule.holds(value, series, readings):
            about = next((series[label] for label in _LABELS if label in series), "")
            said = rule.sentence.format(value=value, minutes=value / _MINUTE, days=value / _DAY, **series)
            yield Need(rule.alert, about, said, runbook_link(runbook, rule.alert))


def _newest_good(readings: Readings) -> str | None:
    """The status of the weekly schedule's newest evaluation that did not fail."""
    times = {
        labels[2]: float(time)
        for labels, time in readings.values.get(own_metrics.LAST_TICK, {}).items()
        if labels[1] == SCHEDULE and labels[2] != "failure" and not isinstance(time, Distribution)
    }
    return max(times, key=times.__getitem__, default=None)


def _code_loads(readings: Readings) -> bool:
    return readings.values.get(own_metrics.CODE_LOCATION_LOADS, {}).get((), 1.0) != 0


def _runs_something(readings: Readings) -> bool:
    runs = readings.plain(own_metrics.RUNS)
    return any(runs.get(status) for status in ("starting", "started", "canceling"))
