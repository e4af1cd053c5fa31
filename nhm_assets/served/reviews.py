"""What people said of opinions, by week and version."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from nhm_assets.domain.drift_records import Checked
from nhm_assets.domain.partitions import WEEK
from nhm_assets.domain.served_records import Agreement, Calls, Decline
from nhm_assets.drift.estimate import estimate
from nhm_assets.served.agreement import agreement, calls_approve, counted, decline
from nhm_assets.served.reading import Reviewed
from nhm_assets.served.serving_times import ServingTimes

Weeks = Mapping[int, Mapping[str | None, list[Reviewed]]]
"""Weeks before the measured one -> version -> its reviewed opinions; None stands for no version."""

RECENT: Final = 2
"""Weeks whose agreement is compared with that before: in one alone there is seldom enough feedback."""
_CHECKED: Final = 8


def by_week(reviewed: Sequence[Reviewed], times: ServingTimes, start: datetime) -> Weeks:
    """The reviewed opinions of models, by the week in which they were reviewed. Those of fallbacks are left out.

    Args:
        reviewed: in any order.
        times: which version served when.
        start: of the measured week.
    """
    found: dict[int, dict[str | None, list[Reviewed]]] = defaultdict(lambda: defaultdict(list))
    for one in reviewed:
        opinion = one.opinion
        if opinion.fallback is not None or opinion.version is None or np.isnan(opinion.confidence):
            continue
        version = None if opinion.at is None or times.in_gap(opinion.at) else opinion.version
        found[-((one.submitted_at - start) // WEEK)][version].append(one)
    return found


def agreements(versions: Mapping[str | None, list[Reviewed]]) -> list[Agreement]:
    """The agreement of each version in one week."""
    told = sorted((version for version in versions if version is not None), key=int)
    return [agreement(version, *_arrays(versions[version])) for version in told]


def decline_of(weeks: Weeks, version: str | None, evaluated: Calls) -> Decline | None:
    """The served version in the newest two weeks, against its evaluation and the weeks before."""
    calls = {before: _calls(reviewed) for before, reviewed in _of(weeks, version)}
    recent = Calls.total(one for before, one in calls.items() if before < RECENT)
    return decline(recent, evaluated, [one for before, one in calls.items() if before >= RECENT])


def checked(weeks: Weeks, version: str | None) -> list[Checked]:
    """The estimates of the newest eight weeks, on opinions that people did review."""
    found = []
    for before, reviewed in _of(weeks, version):
        confidence, risk, approved = _arrays(reviewed)
        calls = calls_approve(confidence, risk)
        realized = counted(calls, approved).f1
        expected = estimate(confidence.clip(0, 1), calls)
        if before < _CHECKED and realized is not None and expected.f1 is not None:
            found.append(Checked(weeks_before=before, estimate=expected, realized=realized))
    return found


def _of(weeks: Weeks, version: str | None) -> list[tuple[int, list[Reviewed]]]:
    """The weeks in which a version was reviewed, the newest first."""
    if version is None:
        return []
    return [(before, weeks[before][version]) for before in sorted(weeks) if version in weeks[before]]


def _calls(reviewed: Sequence[Reviewed]) -> Calls:
    confidence, risk, approved = _arrays(reviewed)
    return counted(calls_approve(confidence, risk), approved)


def _arrays(reviewed: Sequence[Reviewed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, risk, and whether people approved, one value per opinion."""
    return (
        np.array([one.opinion.confidence for one in reviewed], dtype="float64"),
        np.array([one.opinion.risk for one in reviewed], dtype="float64"),
        np.array([one.approved for one in reviewed], dtype="bool"),
    )
