"""What `nhm status` says needs a person: the alerts of the same names, asked at one moment."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.metric import Readings
from nhm_assets.monitoring.needs import ALERTS, needs
from nhm_assets.monitoring.own_metrics import OWN_METRICS
from tests.monitoring.alert_cases import CASES, Case
from tests.support.prometheus import rules

RUNBOOK = "https://hive.example/runbook.md"
SECONDS = {"m": 60, "h": 3600}
BY_NAME = {metric.name: metric for metric in OWN_METRICS}
PASSES_BY_ITSELF = {
    "SpecialistRetrainingJobTookTooLong",
    "SpecialistModelNotPromoted",
    "SpecialistModelOld",
    "SpecialistServingBelowLine",
    "SpecialistFeedbackRejected",
    "SpecialistFeedbackScripted",
    "NhmDaemonMissing",
    "NhmBackupMissing",
    "NhmSourceDown",
    "NhmExporterAbsent",
}
"""MAX_RUN_SECONDS ends the first. The next five wait for reviews or for a better candidate. A platform may be used
without a daemon and without an exporter. Only Kubernetes knows of the back-up's CronJob. A service that is down is
named with exit code 1."""
ASKED = [case for case in CASES if case.alert in ALERTS]


def value_at(values: str, moment: int) -> float | None:
    """The value of a series in promtool's notation after so many intervals; None where it has none."""
    expanded: list[float | None] = []
    for part in values.split():
        found = re.fullmatch(r"(_|stale|-?[\d.]+)(?:([+-][\d.]+))?(?:x(\d+))?", part)
        assert found, part
        start, step, times = found[1], float(found[2] or 0), int(found[3] or 0)
        if start in ("_", "stale"):
            expanded += [None] * max(1, times)
        else:
            expanded += [float(start) + step * number for number in range(times + 1)]
    return expanded[moment] if moment < len(expanded) else expanded[-1]


def readings_at(series: Mapping[str, str], moment: int) -> Readings:
    readings = Readings()
    for named, values in series.items():
        name, _, labels = named.partition("{")
        given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        metric = BY_NAME[name]
        readings.put(metric, value_at(values, moment), *(given.get(label, "") for label in metric.labels))
    return readings


def told(case: Case, series: Mapping[str, str], moment: int) -> set[str]:
    now = datetime.fromtimestamp(moment * SECONDS[case.unit], UTC)
    return {need.alert for need in needs(readings_at(series, moment), now=now, runbook=RUNBOOK)} & {case.alert}


def last_moment(series: Mapping[str, str]) -> int:
    return min(sum(int(times or 0) + 1 for times in re.findall(r"x(\d+)| stale", v)) for v in series.values()) - 1


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.alert)
def test_a_person_is_needed_while_the_alert_fires_and_not_when_it_is_resolved(case: Case):
    assert told(case, case.series, case.fires) == {case.alert}
    assert told(case, case.series, case.resolved) == set()


@pytest.mark.parametrize(
    ("case", "twin"),
    [(case, twin) for case in ASKED for twin in case.twins],
    ids=lambda value: value if isinstance(value, str) else value.alert,
)
def test_what_must_not_fire_needs_nobody_in_the_end(case: Case, twin: str):
    series = case.twins[twin]
    assert told(case, series, last_moment(series)) == set()


def test_every_alert_either_needs_a_person_or_passes_by_itself():
    assert {rule["alert"] for rule in rules()} == ALERTS | PASSES_BY_ITSELF
    assert not ALERTS & PASSES_BY_ITSELF


def test_a_need_names_what_it_is_about_and_where_the_runbook_says_what_to_do():
    readings = Readings()
    readings.put(own_metrics.CONSECUTIVE_BROKEN, 2.0, "technical")
    (need,) = needs(readings, now=datetime.now(UTC), runbook=RUNBOOK)
    assert (need.about, need.sentence) == ("technical", "the newest run broke (2 in a row), and nothing retries it")
    assert need.runbook == f"{RUNBOOK}#specialistretrainingjobfailed"


def test_a_weekly_schedule_that_is_switched_off_needs_a_person():
    readings = Readings()
    readings.put(own_metrics.TICK_SOURCE_RUNNING, 0.0, "schedule", "weekly_retraining_schedule")
    readings.put(own_metrics.TICK_SOURCE_RUNNING, 0.0, "sensor", "feedback_volume_sensor")
    (need,) = needs(readings, now=datetime.now(UTC), runbook=RUNBOOK)
    assert (need.alert, need.about) == ("NhmWeeklyTickMissed", "weekly_retraining_schedule")
