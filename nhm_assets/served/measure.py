"""Measures one week of one specialist. If a part cannot be read, the record says why, and has the others.

All parts need the serving times: without them, opinions of the gap would count for a version.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from nhm_assets.domain.ab_records import AbResult
from nhm_assets.domain.drift_records import Drift, Estimate
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.partitions import WEEK, Partition, Window
from nhm_assets.domain.served_records import Answered, Calls, ServedQuality
from nhm_assets.domain.times import microseconds
from nhm_assets.drift.estimate import estimate
from nhm_assets.registry.ab_tests import ran_between
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.served.ab_measure import measure_test
from nhm_assets.served.agreement import calls_approve
from nhm_assets.served.answers import count
from nhm_assets.served.columns import Answers, Opinions, OpinionsRead, Reviews
from nhm_assets.served.drift import drift_of, feature_blocks
from nhm_assets.served.evaluated import evaluated_calls
from nhm_assets.served.reading import read_opinions, read_reviews
from nhm_assets.served.reference import References
from nhm_assets.served.reviews import Weeks, agreements, by_week, checked, decline_of
from nhm_assets.served.serving_times import ServingTimes, read_serving_times

if TYPE_CHECKING:
    from pymongo.database import Database

    from nhm_assets.settings import Settings
    from resources.mlflow import Mlflow

T = TypeVar("T")

WEEKS: Final = 9
"""Weeks of feedback that are read: this one, and the eight before."""

ANSWERS: Final = "answers"
AGREEMENT: Final = "agreement"
DRIFT: Final = "drift"
_EVALUATION: Final = "evaluation"
AB_TEST: Final = "A/B test"
_PROMOTED: Final = "reference of the promoted version"
"""Parts that may not be measured."""
_LEAST_S: Final = 0.001
"""Seconds of a read for which no time is left: PyMongo takes 0 for no limit."""


@dataclass
class Faults:
    """Why parts were not measured: a service failed, or there is nothing to measure."""

    reasons: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def without(self, part: str, measure: Callable[[], T]) -> T | None:
        """What `measure` returns; None if it fails, with the reason kept."""
        try:
            return measure()
        except DataError as error:
            self.absent[part] = first_line(error)
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


@dataclass(frozen=True)
class _Read:
    """What the documents of a week say.

    Attributes:
        opinions: of the week; none if they could not be read.
        labels: what people said in the week, of whatever gave the opinion, as a dataset would learn it.
        seconds_left: of the time for reading.
    """

    opinions: Opinions
    answered: Answered | None
    weeks: Weeks
    labels: np.ndarray
    version: str | None
    evaluated: Calls
    seconds_left: float

    @property
    def by_served(self) -> Answers:
        """The opinions that the served version gave, with a confidence."""
        return self.opinions.given_by(self.version)


@dataclass(frozen=True)
class Measurement:
    """One week of one specialist, measured with what is there."""

    database: "Database[dict[str, Any]]"
    mlflow: "Mlflow"
    partition: Partition
    settings: "Settings"
    now: datetime
    warn: Callable[[str], None]

    def measure(self) -> ServedQuality:
        """Measure from documents alone: the same documents give the same record, whenever that is.

        Feedback counts in the week in which it was submitted, for the version that gave the opinion.

        Raises:
            PyMongoError: the audit log cannot be read, so nothing tells which version served when.
        """
        window, faults = window_of(self.partition, self.now), Faults()
        read = self._read(window, faults)
        drift = faults.without(DRIFT, lambda: self._drift(read, faults))
        ab_test = faults.without(AB_TEST, lambda: self._ab_test(window))
        this_week = read.weeks.get(0, {})
        return ServedQuality(
            specialist=str(self.partition.specialist),
            week=self.partition.week,
            model=self._model,
            start=window.start,
            end=window.end,
            version=read.version,
            answered=read.answered,
            agreements=agreements(this_week),
            unattributed=len(this_week.get(None, ())),
            decline=decline_of(read.weeks, read.version, read.evaluated),
            drift=drift,
            estimate=_estimate(read.by_served, this_week.get(read.version)),
            checked=checked(read.weeks, read.version),
            ab_test=ab_test,
            faults=faults.reasons,
            absent=faults.absent,
        )

    @property
    def _model(self) -> str:
        return self.partition.specialist.registered_model

    def _read(self, window: Window, faults: Faults) -> _Read:
        """Everything from MongoDB but the features, within SERVED_QUALITY_TIMEOUT_S."""
        import pymongo

        database, settings, model = self.database, self.settings, self._model
        log, started = database[AUDIT_LOG], monotonic()
        with pymongo.timeout(settings.served_quality_timeout_s):
            times = read_serving_times(log, model, window.end)
            found = read_opinions(database[settings.opinions_collection], self.partition.specialist, window)
            opinions = OpinionsRead(times)
            answered = faults.without(ANSWERS, lambda: count(opinions.kept(found), times))
            reviewed = faults.without(AGREEMENT, lambda: self._reviewed(window, times))
            version = _version(times, window.end, answered)
            evaluated = faults.without(_EVALUATION, lambda: evaluated_calls(log, settings.storage, model, version))
        if reviewed is None:
            reviewed = Reviews.of([], times, *np.empty((2, 0), "int64"))
        return _Read(
            opinions=(opinions if answered else OpinionsRead(times)).columns(),
            answered=answered,
            weeks=by_week(reviewed, window.start),
            labels=reviewed.labels[reviewed.submitted_at >= microseconds(window.start)],
            version=version,
            evaluated=evaluated or Calls(),
            seconds_left=settings.served_quality_timeout_s - (monotonic() - started),
        )

    def _reviewed(self, window: Window, times: ServingTimes) -> Reviews:
        longer = Window(window.start - (WEEKS - 1) * WEEK, window.end)
        return read_reviews(self.database, self.settings, self.partition.specialist, longer, times)

    def _ab_test(self, window: Window) -> AbResult | None:
        """The A/B test that ran in the week, from its start to the end of the week; None if none did."""
        import pymongo

        with pymongo.timeout(self.settings.served_quality_timeout_s):
            test = ran_between(self.database[AUDIT_LOG], self._model, window.start, window.end)
        if test is None:
            return None
        with self.mlflow.client() as client:
            return measure_test(client, self.database, self.settings, test, window.end)

    def _drift(self, read: _Read, faults: Faults) -> Drift | None:
        """The drift, by the reference of the served version. The version promoted since gets its reference, too."""
        import pymongo

        from nhm_assets.registry.versions import version_in_production

        with self.mlflow.client() as client:
            references = References(client, self.database, self.settings, self.now, self.warn)
            champion = version_in_production(client, self._model)
            promoted = str(champion.version) if champion else None
            if promoted is not None and promoted != read.version:
                faults.without(_PROMOTED, lambda: references.of(self._model, promoted))
            if read.version is None:
                raise DataError("nothing tells which version was in Production")
            baseline = references.of(self._model, read.version)
        if baseline.synthetic:
            raise DataError(f"version {read.version} learned synthetic rows alone, which say nothing about the world")
        with pymongo.timeout(max(read.seconds_left, _LEAST_S)):
            blocks = feature_blocks(self.database[self.settings.features_collection], read.opinions.plan_ids.distinct())
            return drift_of(baseline, (rows for _, rows in blocks), read.by_served, read.labels)


def _version(times: ServingTimes, end: datetime, answered: Answered | None) -> str | None:
    """The version in Production just before a time; where nobody recorded it, the one that most opinions name."""
    serving = times.at(end - timedelta(microseconds=1))
    if serving is not None:
        return serving.version
    named = answered.by_version if answered else {}
    return max(named, key=lambda version: (named[version], int(version)), default=None)


def _estimate(answers: Answers, reviewed: Reviews | None) -> Estimate | None:
    """The estimate for opinions of the week that nobody has reviewed yet."""
    unknown = ~np.isin(answers.keys, reviewed.keys) if reviewed else np.ones(len(answers), "bool")
    if not unknown.any():
        return None
    confidence, risk = answers.confidence[unknown].clip(0, 1), answers.risk[unknown]
    return estimate(confidence, calls_approve(confidence, risk))


def not_read(partition: Partition, now: datetime, reason: str) -> ServedQuality:
    """The record of a week of which nothing could be read."""
    window = window_of(partition, now)
    return ServedQuality(
        specialist=str(partition.specialist),
        week=partition.week,
        model=partition.specialist.registered_model,
        start=window.start,
        end=window.end,
        faults=dict.fromkeys((ANSWERS, AGREEMENT, DRIFT), reason),
    )
