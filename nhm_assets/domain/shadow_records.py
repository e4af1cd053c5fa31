"""The records of a shadow: candidate and champion, asked about the same plans, without labels."""

from datetime import datetime

from nhm_assets.domain.stored_record import Record


class Shift(Record):
    """Candidate minus champion, over all plans.

    Attributes:
        low, high: the 5th and the 95th percentile.
    """

    mean: float
    low: float
    high: float


class ShadowPlan(Record):
    """One plan, and what both versions answer.

    Attributes:
        opinion_id: the specialist's opinion on the plan; None if none was found.
        champion_class, candidate_class: the most probable class.
        said_confidence, said_risk: what the specialist said at the time; None if no model of it gave an opinion.
    """

    plan_id: str
    opinion_id: str | None
    champion_class: str
    candidate_class: str
    champion_confidence: float
    candidate_confidence: float
    champion_risk: float
    candidate_risk: float
    said_confidence: float | None
    said_risk: float | None


class Said(Record):
    """What the specialist said about these plans at the time, by its opinions.

    Attributes:
        by_champion: number of plans on which this champion gave the opinion.
        by_others: number of plans on which another version, or no model, gave it.
        difference: mean absolute difference of confidence between the champion asked now and its opinion then; None
            if it gave none. A large one means that the specialist sees other features than those that are stored.
        agreement: fraction of these plans on which candidate and opinion are on the same side of 0.8 confidence.
    """

    by_champion: int
    by_others: int
    difference: float | None
    agreement: float | None


class Shadow(Record):
    """Candidate and champion on the plans that came in since the champion was promoted.

    Attributes:
        champion: its version.
        since: when it was promoted, in UTC.
        plans: number of plans that both were asked about.
        unusable: number of plans whose stored features no model can answer.
        same_side: fraction of the plans on which both are on the same side of 0.8 confidence.
        same_class: fraction with the same most probable class.
        agreement: fraction with both.
        confidence, risk: how far the candidate's are from the champion's. These are None without plans, like the
            fractions.
        largest: the plans with the largest change of confidence or risk, the largest first.
        said: None if the opinions could not be read.
        fault: why nothing could be compared; None if nothing went wrong.
    """

    champion: str
    since: datetime | None
    plans: int = 0
    unusable: int = 0
    same_side: float | None = None
    same_class: float | None = None
    agreement: float | None = None
    confidence: Shift | None = None
    risk: Shift | None = None
    largest: tuple[ShadowPlan, ...] = ()
    said: Said | None = None
    fault: str | None = None
