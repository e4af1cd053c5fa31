"""The shadow: how the candidate's answers differ from the champion's, on plans that the specialist really saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from nhm_assets.domain.served_records import UNATTENDED
from nhm_assets.domain.shadow_records import Said, Shadow, ShadowPlan, Shift
from nhm_assets.evaluation.served_plans import Opinion, ServedPlans

_LARGEST_CHANGES: Final = 10
_PERCENTILES: Final = (5, 95)


@dataclass(frozen=True)
class Answers:
    """What a version answers about plans, as the specialists read it; one value per plan.

    Attributes:
        top: name of the most probable class.
    """

    confidence: np.ndarray
    risk: np.ndarray
    top: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Both versions' answers about the same plans, with what the specialist said at the time, by plan."""

    plans: ServedPlans
    champion: Answers
    candidate: Answers
    opinions: Mapping[str, Opinion] | None

    @property
    def same_side(self) -> np.ndarray:
        """Whether both are on the same side of the confidence that decides without a person."""
        return (self.champion.confidence >= UNATTENDED) == (self.candidate.confidence >= UNATTENDED)

    @property
    def same_class(self) -> np.ndarray:
        """Whether both find the same class most probable."""
        return self.champion.top == self.candidate.top

    def opinion(self, number: int) -> Opinion | None:
        """The specialist's opinion on one of the plans."""
        return (self.opinions or {}).get(self.plans.plan_ids[number])


def summarize(comparison: Comparison, *, champion: str, since: datetime) -> Shadow:
    """The figures of a comparison.

    Args:
        comparison: with or without plans.
        champion: its version.
        since: when it was promoted.
    """
    plans = comparison.plans
    base = Shadow(champion=champion, since=since, plans=len(plans.plan_ids), unusable=plans.unusable)
    if not plans.plan_ids:
        return base
    same_side, same_class = comparison.same_side, comparison.same_class
    confidence = comparison.candidate.confidence - comparison.champion.confidence
    risk = comparison.candidate.risk - comparison.champion.risk
    changes = np.maximum(np.abs(confidence), np.abs(risk))
    largest = np.argsort(-changes, kind="stable")[:_LARGEST_CHANGES]
    return base.model_copy(
        update={
            "same_side": float(same_side.mean()),
            "same_class": float(same_class.mean()),
            "agreement": float((same_side & same_class).mean()),
            "confidence": _shift(confidence),
            "risk": _shift(risk),
            "largest": tuple(_plan(comparison, int(number), champion) for number in largest),
            "said": _said(comparison, champion),
        }
    )


def _shift(differences: np.ndarray) -> Shift:
    low, high = np.percentile(differences, _PERCENTILES)
    return Shift(mean=float(differences.mean()), low=float(low), high=float(high))


def _plan(comparison: Comparison, number: int, champion: str) -> ShadowPlan:
    before, after, opinion = comparison.champion, comparison.candidate, comparison.opinion(number)
    said = opinion if opinion and opinion.model_version == champion else None
    return ShadowPlan(
        plan_id=comparison.plans.plan_ids[number],
        opinion_id=opinion.opinion_id if opinion else None,
        champion_class=str(before.top[number]),
        candidate_class=str(after.top[number]),
        champion_confidence=float(before.confidence[number]),
        candidate_confidence=float(after.confidence[number]),
        champion_risk=float(before.risk[number]),
        candidate_risk=float(after.risk[number]),
        said_confidence=said.confidence if said else None,
        said_risk=said.risk if said else None,
    )


def _said(comparison: Comparison, champion: str) -> Said | None:
    """Compare with what the specialist said, where this champion said it."""
    if comparison.opinions is None:
        return None
    by_champion = {
        number: opinion.confidence
        for number in range(len(comparison.plans.plan_ids))
        if (opinion := comparison.opinion(number))
        and opinion.model_version == champion
        and opinion.confidence is not None
    }
    numbers, said = np.array(list(by_champion), dtype=int), np.array(list(by_champion.values()), dtype="float64")
    differences = np.abs(comparison.champion.confidence[numbers] - said)
    same_side = (comparison.candidate.confidence[numbers] >= UNATTENDED) == (said >= UNATTENDED)
    return Said(
        by_champion=len(said),
        by_others=len(comparison.opinions) - len(said),
        difference=float(differences.mean()) if len(said) else None,
        agreement=float(same_side.mean()) if len(said) else None,
    )


def documents(
    comparison: Comparison, *, model: str, champion: str, candidate: str, context: Mapping[str, Any], now: datetime
) -> list[dict[str, Any]]:
    """One document per plan, for the collection that other programs read.

    What Production said is the specialist's opinion if this champion gave it, else the champion's answer now.
    """
    features = comparison.plans.features.to_dict("records")
    agreements = zip(comparison.same_class.tolist(), comparison.same_side.tolist(), strict=True)
    found = []
    for number, (same_class, same_side) in enumerate(agreements):
        plan = _plan(comparison, number, champion)
        identity = f"{model}:{champion}:{candidate}:{plan.plan_id}"
        found.append(
            {
                "_id": identity,
                "comparison_id": identity,
                "model_name": model,
                "prod_version": champion,
                "shadow_version": candidate,
                "timestamp": now,
                "features": features[number],
                "agreement": {"class": same_class, "confidence": same_side, "overall": same_class and same_side},
                **_results(plan, context),
            }
        )
    return found


def _results(plan: ShadowPlan, context: Mapping[str, Any]) -> dict[str, Any]:
    """Both results about a plan, and where they come from."""
    by_opinion = plan.said_confidence is not None and plan.said_risk is not None
    return {
        "prod_result": {
            "class": plan.champion_class,
            "confidence": plan.said_confidence if by_opinion else plan.champion_confidence,
            "risk": plan.said_risk if by_opinion else plan.champion_risk,
        },
        "shadow_result": {
            "class": plan.candidate_class,
            "confidence": plan.candidate_confidence,
            "risk": plan.candidate_risk,
        },
        "context": {
            **context,
            "plan_id": plan.plan_id,
            "opinion_id": plan.opinion_id,
            "prod_result_from": "opinion" if by_opinion else "replay",
        },
    }
