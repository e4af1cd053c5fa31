"""Made-up documents: plans, opinions of the specialists, and reviewers' feedback with typical flaws.

Every document depends only on the number of its plan, so the same `end` always gives the same documents. The
reviewers of `behavior` disagree so often that no model can learn from them.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Final

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict

Document = dict[str, Any]

DAYS: Final = 365
PLANS_PER_DAY: Final = 40
HOPELESS: Final = Specialist("behavior")

HOPELESS_DISAGREEMENT: Final = 0.75
"""The fraction of recommendations for it that are random."""

_DISAGREEMENT: Final = 0.08
_STORED_FEATURES_FRACTION: Final = 0.4
_PLAN_IN_OPINION_FRACTION: Final = 0.3
_SECOND_REVIEW_FRACTION: Final = 0.03
_REVIEW_DELAY_H: Final = 12
_FLAWED_FRACTION: Final = 0.02


def made_up_documents(end: datetime, *, plans: int = DAYS * PLANS_PER_DAY) -> dict[str, Iterable[Document]]:
    """A year of documents, by their name in `nhm_assets.demo.load.FILES`. The newest feedback is from before `end`."""
    makers: dict[str, Callable[[_Case], Iterator[Document]]] = {
        "opinions": _opinions,
        "feedback": _feedback,
        "plan_features": _stored_features,
        "cognitive_ledger": _ledger,
    }
    return {name: _made(maker, end, plans) for name, maker in makers.items()}


def _made(maker: "Callable[[_Case], Iterator[Document]]", end: datetime, plans: int) -> Iterator[Document]:
    for number in range(plans):
        yield from maker(_Case(number, end - timedelta(days=DAYS) * (1 - (number + 0.999) / plans)))


def further_documents(now: datetime, specialist: Specialist, count: int) -> dict[str, Iterable[Document]]:
    """So many plans with one valid feedback each on an opinion of the specialist, given just before `now`."""
    first = int(now.timestamp() * 1000)
    cases = [_Case(first + position, now - timedelta(milliseconds=count - position)) for position in range(count)]
    return {
        "opinions": [_opinion(case, specialist) for case in cases],
        "feedback": [_review(case, specialist) for case in cases],
        "plan_features": [features for case in cases for features in _stored_features(case)],
        "cognitive_ledger": [entry for case in cases for entry in _ledger(case)],
    }


class _Case:
    """One plan, which the documents are about.

    Args:
        number: the plan's number; it determines everything about the plan.
        reviewed_at: when the last feedback on it was submitted.
    """

    def __init__(self, number: int, reviewed_at: datetime) -> None:
        self.number = number
        self.reviewed_at = reviewed_at
        self.plan_id = f"plan-demo-{number:06d}"
        rng = random.Random(number)  # noqa: S311 - reproducible, not secret
        self.opined_at = reviewed_at - timedelta(hours=rng.uniform(1, _REVIEW_DELAY_H))
        self.has_stored_features = rng.random() < _STORED_FEATURES_FRACTION
        self.plan_in_opinion = rng.random() < _PLAN_IN_OPINION_FRACTION
        self.plan = sample_plan(rng, self.plan_id, self.opined_at)

    @cached_property
    def features(self) -> dict[str, float]:
        return compute_features(self.plan)

    def rng(self, purpose: str) -> random.Random:
        """A source of randomness for one purpose."""
        return random.Random(f"{self.number} {purpose}")  # noqa: S311 - as above

    def opinion_id(self, specialist: str) -> str:
        return f"opinion-demo-{self.number:06d}-{specialist}"


def _opinions(case: _Case) -> Iterator[Document]:
    for specialist in all_specialists():
        yield _opinion(case, specialist)


def _opinion(case: _Case, specialist: Specialist) -> Document:
    rng = case.rng(f"opinion {specialist}")
    verdict = {
        "recommendation": rng.choice(("approve", "reject", "review_required", "conditional")),
        "confidence_score": round(rng.uniform(0.3, 0.95), 4),
        "risk_score": case.plan["risk_score"],
    }
    nested = rng.random() < 0.1
    return {
        "_id": case.opinion_id(specialist),
        "opinion_id": case.opinion_id(specialist),
        "plan_id": case.plan_id,
        "specialist_type": str(specialist),
        "evaluated_at": case.opined_at,
        "explainability": {"method": "heuristic", "model_version": "0"},
        "schema_version": 2 if nested else 1,
        **({"opinion": verdict} if nested else verdict),
        **({"cognitive_plan": case.plan} if case.plan_in_opinion else {}),
    }


def _feedback(case: _Case) -> Iterator[Document]:
    for position, specialist in enumerate(all_specialists()):
        rng = case.rng(f"more feedback {specialist}")
        document = _review(case, specialist) | {"submitted_at": case.reviewed_at - timedelta(seconds=position)}
        if rng.random() < _SECOND_REVIEW_FRACTION:
            name, earlier = f"{document['feedback_id']}-0", document["submitted_at"] - timedelta(minutes=30)
            second = {"_id": name, "feedback_id": name, "submitted_at": earlier}
            yield {**document, **second, "human_recommendation": "review_required"}
        if rng.random() < _FLAWED_FRACTION:
            document = rng.choice(_FLAWS)(document)
        yield document


def _review(case: _Case, specialist: Specialist) -> Document:
    rng = case.rng(f"feedback {specialist}")
    disagreement = HOPELESS_DISAGREEMENT if specialist == HOPELESS else _DISAGREEMENT
    recommendation, rating = sample_verdict(rng, case.features, disagreement=disagreement)
    name = f"feedback-demo-{case.number:06d}-{specialist}"
    return {
        "_id": name,
        "feedback_id": name,
        "opinion_id": case.opinion_id(specialist),
        "plan_id": case.plan_id,
        "specialist_type": str(specialist),
        "human_rating": rating,
        "human_recommendation": recommendation,
        "feedback_notes": "",
        "submitted_by": f"reviewer-{rng.randint(1, 20):02d}@hive.example",
        "submitted_at": case.reviewed_at,
        "feedback_source": "human_expert",
        "schema_version": "1.0.0",
        "metadata": {},
    }


def _with(field: str, value: object, document: Document) -> Document:
    return {**document, field: value}


def _without(field: str, document: Document) -> Document:
    return {key: value for key, value in document.items() if key != field}


def _time_as_text(document: Document) -> Document:
    return {**document, "submitted_at": document["submitted_at"].isoformat()}


_FLAWS: Final[tuple[Callable[[Document], Document], ...]] = (
    partial(_without, "feedback_id"),
    partial(_without, "submitted_at"),
    partial(_with, "human_rating", "0.8"),
    partial(_with, "human_rating", 1.7),
    partial(_with, "human_recommendation", "conditional"),
    partial(_with, "human_recommendation", "APPROVE "),
    partial(_with, "opinion_id", "opinion-nobody-gave"),
    _time_as_text,
)


def _stored_features(case: _Case) -> Iterator[Document]:
    if not case.has_stored_features:
        return
    rng = case.rng("features")
    embedding = dict(
        zip(EMBEDDING_FEATURES, (rng.gauss(4, 0.3), rng.gauss(0.2, 0.05), rng.gauss(3.5, 0.2)), strict=True)
    )
    yield {
        "_id": f"features-demo-{case.number:06d}",
        "plan_id": case.plan_id,
        "features": json.dumps({"aggregated_features": {**case.features, **embedding}}),
        "timestamp": case.opined_at.timestamp(),
    }


def _ledger(case: _Case) -> Iterator[Document]:
    if case.plan_in_opinion:
        return
    yield {
        "_id": f"ledger-demo-{case.number:06d}",
        "plan_id": case.plan_id,
        "intent_id": case.plan["intent_id"],
        "timestamp": case.opined_at,
        "plan_data": case.plan,
    }
