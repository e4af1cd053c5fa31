"""What the version in Production did in one week: who answered, and how far people agreed."""

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Final, Self

from pydantic import Field

from nhm_assets.domain.ab_records import AbResult
from nhm_assets.domain.drift_records import Checked, Drift, Estimate
from nhm_assets.domain.stored_record import Record, SchemaVersion, StoredRecord

UNATTENDED: Final = 0.8
"""The confidence from which on a plan can be approved without a person."""


class Calls(Record):
    """Calls of approve (p) and of not approve (n), counted against what people said.

    Attributes:
        tp, fp, fn, tn: true and false calls.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @property
    def rows(self) -> int:
        """How many were counted."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def named(self) -> int:
        """How often approve was called or said: the denominator of F1."""
        return 2 * self.tp + self.fp + self.fn

    @property
    def f1(self) -> float | None:
        """F1 of approve; None if nobody ever called or said approve."""
        return 2 * self.tp / self.named if self.named else None

    @classmethod
    def total(cls, parts: "Iterable[Calls]") -> Self:
        """The sum of several counts."""
        every = list(parts)
        return cls(**{name: sum(getattr(one, name) for one in every) for name in ("tp", "fp", "fn", "tn")})


class Answered(Record):
    """Who gave the opinions of a week.

    Attributes:
        opinions: their number.
        by_version: by the version that they name and that served at the time.
        by_fallback: those that no model gave, by what gave them instead, such as `heuristics`.
        in_gap: given between a promotion and the end of its restart. They carry the new number while the old version
            may still answer, so they belong to no version.
        untold: they do not say who gave them.
        unexpected: by a version that was not in Production any more, after its successor's restart; they are in
            `by_version` too.
    """

    opinions: int
    by_version: dict[str, int]
    by_fallback: dict[str, int]
    in_gap: int
    untold: int
    unexpected: int

    @property
    def fallbacks(self) -> int:
        """Opinions that no model gave."""
        return sum(self.by_fallback.values())

    @property
    def by_model(self) -> int:
        """Opinions that a model gave, of whatever version."""
        return sum(self.by_version.values()) + self.in_gap


class Agreement(Record):
    """How far the opinions of one version agree with the feedback of one week.

    Attributes:
        version: that gave the opinions.
        reviewed: opinions with feedback of that week.
        approvals: those that people approved.
        auc: probability that an approved plan has a higher confidence than another one; None without both kinds.
        brier: mean squared difference of confidence and approval; 0 is best.
        unattended: opinions with a confidence of 0.8 or more, which could be approved without a person.
        unattended_approved: those of them that people approved.
        calls: whether the answer's most probable class is approve, against what people said.
    """

    version: str
    reviewed: int
    approvals: int
    auc: float | None
    brier: float
    unattended: int
    unattended_approved: int
    calls: Calls


class Decline(Record):
    """The served version's agreement in the newest two weeks, against what was to be expected of it.

    Attributes:
        recent: calls on opinions that were reviewed in these two weeks.
        expected: calls on the rows that it was evaluated on, and in the seven weeks before.
        evaluated: rows among them from its evaluation.
        drop: F1 expected minus F1 recent.
        standard_error: of the drop.
    """

    recent: Calls
    expected: Calls
    evaluated: int
    drop: float
    standard_error: float


class ServedQuality(StoredRecord):
    """What the served version did in one week.

    Attributes:
        start, end: half-open part of the week that has passed, in UTC.
        version: in Production at the end, by the audit log, else the one that most opinions name; None if neither
            tells.
        answered: None if it was not measured.
        agreements: one per version whose opinions got feedback in this week.
        unattributed: reviewed opinions that belong to no version.
        decline: None if there is too little to compare, or if it was not measured.
        drift: None if it was not measured.
        estimate: of the served version's opinions that nobody has reviewed yet; None if there are none.
        checked: the estimates of the newest weeks in which people reviewed this version, the newest first.
        ab_test: the A/B test that ran in this week, from its start on; None if none did, or if it was not measured.
        faults: part -> why it was not measured: a service failed or was slow.
        absent: part -> why there is nothing to measure.
    """

    ADDED: ClassVar = {"drift": 2, "estimate": 2, "checked": 2, "absent": 2, "ab_test": 3}

    schema_version: SchemaVersion = 3
    specialist: str
    week: str
    model: str
    start: datetime
    end: datetime
    version: str | None = None
    answered: Answered | None = None
    agreements: list[Agreement] = Field(default_factory=list)
    unattributed: int = 0
    decline: Decline | None = None
    drift: Drift | None = None
    estimate: Estimate | None = None
    checked: list[Checked] = Field(default_factory=list)
    ab_test: AbResult | None = None
    faults: dict[str, str] = Field(default_factory=dict)
    absent: dict[str, str] = Field(default_factory=dict)

    def agreement(self, version: str | None) -> Agreement | None:
        """The agreement of one version."""
        return next((one for one in self.agreements if one.version == version), None)
