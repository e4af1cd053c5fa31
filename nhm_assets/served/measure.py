"""Measures one week of one specialist. Every part has its own end: what cannot be read is said, and stops nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from nhm_assets.domain.partitions import WEEK, Partition, Window
from nhm_assets.domain.served_records import Agreement, Answered, Calls, Decline, ServedQuality
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.served.agreement import agreement, decline
from nhm_assets.served.evaluated import evaluated_calls
from nhm_assets.served.origins import Opinion
from nhm_assets.served.reading import Reviewed, read_opinions, read_reviewed
from nhm_assets.served.serving_times import ServingTimes, read_serving_times

if TYPE_CHECKING:
    from pymongo.database import Database

    from nhm_assets.settings import Settings

T = TypeVar("T")

WEEKS: Final = 9
"""Weeks of feedback that are read: this one, and the eight before."""
_RECENT: Final = 2
"""Weeks whose agreement is compared with that before: in one alone there is seldom enough feedback."""

ANSWERS: Final = "answers"
AGREEMENT: Final = "agreement"
TIMES: Final = "serving times"
"""Parts that may not be measured."""


@dataclass
class Faults:
    """Why parts were not measured."""

    reasons: dict[str, str] = field(default_factory=dict)

    def without(self, part: str, measure: Callable[[], T]) -> T | None:
        """What `measure` returns; None if it fails, with the reason kept."""
        try:
            return measure()
        except Exception as error:  # noqa: BLE001 - no run needs any of this
            self.reasons[part] = first_line(error)
            return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without the details that PyMongo adds."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return (line.split(", full error:")[0].split(", Timeout:")[0].rstrip(".") or type(error).__name__)[:300]


def window_of(partition: Partition, now: datetime) -> Window:
    """The part of the partition's week that has passed."""
    return Window(partition.week_end - WEEK, min(partition.week_end, now))


def measure(
    database: "Database[dict[str, Any]]", partition: Partition, settings: "Settings", *, now: datetime
) -> ServedQuality:
    """Measure a week from documents alone: the same documents give the same record, whenever that is.

    Feedback counts in the week in which it was submitted, for the version that gave the opinion.
    """
    import pymongo

    window, faults = window_of(partition, now), Faults()
    model = partition.specialist.registered_model
    with pymongo.timeout(settings.served_quality_timeout_s):
        times = faults.without(TIMES, lambda: read_serving_times(database[AUDIT_LOG], model, window.end))
        times = times or ServingTimes([])
        opinions = database[settings.opinions_collection]
        answered = faults.without(ANSWERS, lambda: count(read_opinions(opinions, partition.specialist, window), times))
        reviewed = faults.without(AGREEMENT, lambda: _read_reviewed(database, settings, partition, window))
        version = _version(times, window.end, answered)
        weeks = by_week(reviewed or [], times, window.start)
        evaluated = faults.without(
            "evaluation", lambda: evaluated_calls(database[AUDIT_LOG], settings.storage, model, version)
        )
    this_week = weeks.get(0, {})
    return ServedQuality(
        specialist=str(partition.specialist),
        week=partition.week,
        model=model,
        start=window.start,
        end=window.end,
        version=version,
        answered=answered,
        agreements=_agreements(this_week),
        unattributed=len(this_week.get(None, [])),
        decline=_decline(weeks, version, evaluated or Calls()),
        faults=faults.reasons,
    )


def _read_reviewed(
    database: "Database[dict[str, Any]]", settings: "Settings", partition: Partition, window: Window
) -> list[Reviewed]:
    longer = Window(window.start - (WEEKS - 1) * WEEK, window.end)
    return read_reviewed(database, settings, partition.specialist, longer)


def count(opinions: Iterable[Opinion], times: ServingTimes) -> Answered:
    """Who gave the opinions of a week."""
    versions: Counter[str] = Counter()
    fallbacks: Counter[str] = Counter()
    total = in_gap = untold = unexpected = 0
    for opinion in opinions:
        total += 1
        if opinion.fallback is not None:
            fallbacks[opinion.fallback] += 1
        elif opinion.version is None or opinion.at is None:
            untold += 1
        elif times.in_gap(opinion.at):
            in_gap += 1
        else:
            versions[opinion.version] += 1
            unexpected += times.is_unexpected(opinion.at, opinion.version)
    return Answered(
        opinions=total,
        by_version=dict(sorted(versions.items(), key=lambda item: int(item[0]))),
        by_fallback=dict(sorted(fallbacks.items())),
        in_gap=in_gap,
        untold=untold,
        unexpected=unexpected,
    )


def _version(times: ServingTimes, end: datetime, answered: Answered | None) -> str | None:
    """The version in Production just before a time; where nobody recorded it, the one that most opinions name."""
    serving = times.at(end - timedelta(microseconds=1))
    if serving is not None:
        return serving.version
    named = answered.by_version if answered else {}
    return max(named, key=lambda version: (named[version], int(version)), default=None)


def by_week(
    reviewed: Sequence[Reviewed], times: ServingTimes, start: datetime
) -> dict[int, dict[str | None, list[Reviewed]]]:
    """Weeks before the one that begins at `start` -> version -> its reviewed opinions.

    None stands for opinions of a model that belong to no version. Those of fallbacks are left out.
    """
    found: dict[int, dict[str | None, list[Reviewed]]] = defaultdict(lambda: defaultdict(list))
    for one in reviewed:
        opinion = one.opinion
        if opinion.fallback is not None or opinion.version is None or np.isnan(opinion.confidence):
            continue
        version = None if opinion.at is None or times.in_gap(opinion.at) else opinion.version
        weeks_before = -((one.submitted_at - start) // WEEK)
        found[weeks_before][version].append(one)
    return found


def _agreements(versions: dict[str | None, list[Reviewed]]) -> list[Agreement]:
    told = sorted((version for version in versions if version is not None), key=int)
    return [agreement(version, *arrays(versions[version])) for version in told]


def arrays(reviewed: Sequence[Reviewed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, risk, and whether people approved, one value per opinion."""
    return (
        np.array([one.opinion.confidence for one in reviewed], dtype="float64"),
        np.array([one.opinion.risk for one in reviewed], dtype="float64"),
        np.array([one.approved for one in reviewed], dtype="bool"),
    )


def _decline(
    weeks: dict[int, dict[str | None, list[Reviewed]]], version: str | None, evaluated: Calls
) -> Decline | None:
    """The served version in the newest two weeks, against its evaluation and the weeks before."""
    if version is None:
        return None
    calls = {
        before: agreement(version, *arrays(versions[version])).calls
        for before, versions in weeks.items()
        if version in versions
    }
    recent = Calls.total(one for before, one in calls.items() if before < _RECENT)
    return decline(recent, evaluated, [one for before, one in sorted(calls.items()) if before >= _RECENT])


def not_read(partition: Partition, now: datetime, reason: str) -> ServedQuality:
    """The record of a week of which nothing could be read."""
    window = window_of(partition, now)
    return ServedQuality(
        specialist=str(partition.specialist),
        week=partition.week,
        model=partition.specialist.registered_model,
        start=window.start,
        end=window.end,
        faults=dict.fromkeys((ANSWERS, AGREEMENT), reason),
    )
