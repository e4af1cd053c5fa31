"""An A/B test of two versions of a model: what was asked for, and what it says so far."""

from datetime import datetime
from typing import Final, Literal, Self

from nhm_assets.domain.stored_record import Record

REPLAY: Final = "replay"
LIVE: Final = "live"
MODES: Final = (REPLAY, LIVE)
Mode = Literal["replay", "live"]
DAYS: Final = 7.0
"""After so many days a test is over, if nobody says otherwise."""
MIN_SAMPLES: Final = 100
"""Reviewed plans without which it has no verdict, if nobody says otherwise."""

MODEL_A: Final = "model_a"
"""The champion: the version in Production when the test began."""
MODEL_B: Final = "model_b"
"""The challenger."""

Word = Literal["better", "worse", "mixed", "no difference", "too few", "no answers"]


class AbTest(Record):
    """A test as it was started; `model_audit_log` has it.

    Attributes:
        id: `_id` of its entry in the audit log.
        champion, challenger: numbers of the versions.
        mode: `replay` asks the challenger about every plan; in `live`, each version answers its share of them.
        split: share of the plans that belong to the champion.
        seed: of the assignment.
        until: when it is over by itself.
        min_samples: reviewed plans without which there is no verdict.
        ended_at: when somebody stopped it; None as long as nobody has.
    """

    id: str
    specialist: str
    model: str
    champion: str
    challenger: str
    mode: Mode
    split: float
    seed: str
    started_at: datetime
    until: datetime
    min_samples: int
    ended_at: datetime | None = None

    @property
    def over_at(self) -> datetime:
        """When it is over: when it was stopped, else when its days are over."""
        return min(self.until, self.ended_at) if self.ended_at else self.until

    def runs_at(self, moment: datetime) -> bool:
        """Whether it runs at this time."""
        return self.started_at <= moment < self.over_at

    def as_of(self, moment: datetime) -> Self:
        """The test as it was known at this time."""
        return self.model_copy(update={"ended_at": None}) if self.ended_at and self.ended_at > moment else self

    @property
    def sentence(self) -> str:
        """What is tested, and until when."""
        return (
            f"A/B test of version {self.challenger} against version {self.champion} of {self.model} until"
            f" {self.over_at:%Y-%m-%d %H:%M} UTC ({self.mode})"
        )


class Difference(Record):
    """Challenger minus champion, with an interval that holds at every look.

    Attributes:
        champion, challenger: the figure of each.
        low, high: however often one looks, and whenever one stops, the true difference is outside at some time with at
            most the probability that the test allows.
    """

    champion: float
    challenger: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """The difference."""
        return self.challenger - self.champion

    @property
    def sign(self) -> int:
        """1 if the challenger is higher, -1 if it is lower, 0 if both may be equal."""
        return (self.low > 0) - (self.high < 0)


class AbVerdict(Record):
    """What a test says.

    Attributes:
        word: `better` or `worse` is said of the challenger; `mixed` if one figure is better and the other worse.
    """

    word: Word
    sentence: str


class AbResult(Record):
    """A test up to some time.

    Attributes:
        test: what was asked for.
        until: documents up to this time are counted.
        plans: the plans that were given to each variant: in a replay all plans are given to both, so this counts the
            assignment that would have been.
        marked: opinions that carry the marks of ABTestingSpecialist.
        disagreeing: marks that differ from the recomputed assignment.
        answered: plans that both answered in a replay; in a live test, opinions of either variant.
        unusable: plans that the challenger could not be asked about, since their features are not stored.
        reviewed: of the answered ones, those that people reviewed.
        approvals: those that they approved.
        auc: None if there is too little to compare.
        precision: of confidences of 0.8 or more; likewise.
    """

    test: AbTest
    until: datetime
    plans: dict[str, int]
    marked: int
    disagreeing: int
    answered: int
    unusable: int
    reviewed: int
    approvals: int
    auc: Difference | None
    precision: Difference | None
    verdict: AbVerdict
