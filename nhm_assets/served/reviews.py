"""What people said of opinions, by week and version."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from nhm_assets.domain.drift_records import Checked
from nhm_assets.domain.partitions import WEEK
from nhm_assets.domain.served_records import Agreement, Calls, Decline
from nhm_assets.domain.times import microseconds
from nhm_assets.drift.estimate import estimate
from nhm_assets.served.agreement import agreement, calls_approve, counted, decline
from nhm_assets.served.columns import UNTOLD, Reviews

Weeks = Mapping[int, Mapping[str | None, Reviews]]
"""Weeks before the measured one -> version -> its reviewed opinions; None stands for no version."""

RECENT: Final = 2
"""Weeks whose agreement is compared with that before: in one alone there is seldom enough feedback."""
_CHECKED: Final = 8


def by_week(reviews: Reviews, start: datetime) -> Weeks:
    """The reviewed opinions of models, by the week in which they were reviewed. Those of fallbacks are left out.

    Args:
        reviews: by time.
        start: of the measured week.
    """
    before = -((reviews.submitted_at - microseconds(start)) // (WEEK // timedelta(microseconds=1)))
    found: dict[int, dict[str | None, Reviews]] = defaultdict(dict)
    for week in np.unique(before).tolist():
        in_week = before == week
        for version in np.unique(reviews.versions[in_week & (reviews.versions >= UNTOLD)]).tolist():
            name = None if version == UNTOLD else str(version)
            found[week][name] = reviews.where(in_week & (reviews.versions == version))
    return found


def agreements(versions: Mapping[str | None, Reviews]) -> list[Agreement]:
    """The agreement of each version in one week."""
    told = sorted((version for version in versions if version is not None), key=int)
    of = {version: versions[version] for version in told}
    return [agreement(version, one.confidence, one.risk, one.approved) for version, one in of.items()]


def decline_of(weeks: Weeks, version: str | None, evaluated: Calls) -> Decline | None:
    """The served version in the newest two weeks, against its evaluation and the weeks before."""
    calls = {before: _calls(reviewed) for before, reviewed in _of(weeks, version)}
    recent = Calls.total(one for before, one in calls.items() if before < RECENT)
    return decline(recent, evaluated, [one for before, one in calls.items() if before >= RECENT])


def checked(weeks: Weeks, version: str | None) -> list[Checked]:
    """The estimates of the newest eight weeks, on opinions that people did review."""
    found = []
    for before, reviewed in _of(weeks, version):
        realized = _calls(reviewed).f1
        expected = estimate(reviewed.confidence.clip(0, 1), calls_approve(reviewed.confidence, reviewed.risk))
        if before < _CHECKED and realized is not None and expected.f1 is not None:
            found.append(Checked(weeks_before=before, estimate=expected, realized=realized))
    return found


def _of(weeks: Weeks, version: str | None) -> list[tuple[int, Reviews]]:
    """The weeks in which a version was reviewed, the newest first."""
    if version is None:
        return []
    return [(before, weeks[before][version]) for before in sorted(weeks) if version in weeks[before]]


def _calls(reviewed: Reviews) -> Calls:
    return counted(calls_approve(reviewed.confidence, reviewed.risk), reviewed.approved)
