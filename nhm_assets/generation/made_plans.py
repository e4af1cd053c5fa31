"""What a language model must answer with: plans and verdicts as objects, and what is wrong with those that are not."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from nhm_assets.domain.dataset_words import LABELS
from nhm_assets.feedback.llm_rows import CONDITIONAL

RECOMMENDATIONS: Final[Mapping[str, int]] = {**LABELS, "conditional": CONDITIONAL}
"""What specialists may recommend -> the label in a file of made-up rows."""
TASK_TYPES: Final = ("analysis", "transformation", "validation", "integration", "query", "deploy")
PRIORITIES: Final = ("low", "normal", "high", "critical")

_SECURITY: Final = "internal"
_MODERATE, _HIGH, _CRITICAL = 0.35, 0.7, 0.9
_ANYWHERE: Final = re.compile(
    r"(?i)\b(ignore|disregard|forget)\b.{0,40}\b(instruction|prompt)"
    r"|\b(system|assistant)\s*(prompt|message|:)|<\|?\w+[^>]{0,20}\|?>|</|```|\byou (are now|should answer)\b"
    r"|\blanguage model\b"
)
"""Texts that speak to whoever reads them, or that end the place where they are quoted."""
_IN_PLANS: Final = re.compile(
    r"(?i)\b(ignore|disregard|forget)\b.{0,40}\b(above|previous)|\byou must\b|\b(recommendation|verdict|label)\s*[:=]"
)
"""No task is described so. A reason may be worded so: "the recommendation: reject, one cannot ignore the above"."""
_BETWEEN_WORDS: Final = re.compile(r"[_.-]+")
_INVISIBLE: Final = "Cf"
"""The Unicode category of characters without a width, and of those that change the direction of what follows."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Recommendation = Literal["reject", "approve", "review_required", "conditional"]


class LeftOut(StrEnum):
    """Why an object that a model made became no row."""

    MALFORMED = "malformed"
    REFUSED = "refused"
    CUT_OFF = "cut_off"
    INVALID = "invalid"
    INCONSISTENT = "inconsistent"
    INSTRUCTIONS = "instructions_in_text"
    IMPLAUSIBLE = "implausible"
    DUPLICATE = "duplicate"
    LIKE_FEEDBACK = "same_features_as_feedback"
    DISAGREED = "judge_disagreed"
    SUSPICIOUS = "judge_suspicious"
    UNJUDGED = "judge_silent"


class NotUsable(Exception):
    """The object becomes no row."""

    def __init__(self, why: LeftOut) -> None:
        """For this reason; its text is the model's, and is not repeated."""
        super().__init__(str(why))
        self.why = why


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MadeTask(_Object):
    """A task of a plan, as in the Avro schema of cognitive plans."""

    task_id: Name
    task_type: Literal["analysis", "transformation", "validation", "integration", "query", "deploy"]
    description: Text
    dependencies: Annotated[list[Name], Field(max_length=100)]
    estimated_duration_ms: Annotated[int, Field(ge=0, le=10**10)]


class MadePlan(_Object):
    """The fields of a cognitive plan that features are computed from."""

    tasks: Annotated[list[MadeTask], Field(min_length=1, max_length=100)]
    risk_score: Score
    complexity_score: Score
    original_domain: Name
    original_priority: Literal["low", "normal", "high", "critical"]


class MadeRow(_Object):
    """A plan, and what a careful reviewer would recommend."""

    plan: MadePlan
    reason: Text
    recommendation: Recommendation


class MadeRows(_Object):
    """The whole answer of the model that makes plans."""

    rows: list[MadeRow]


class Verdict(_Object):
    """What the judge says of one plan."""

    number: int
    recommendation: Recommendation
    suspicious: bool


class Verdicts(_Object):
    """The whole answer of the judge."""

    verdicts: list[Verdict]


def items_of(text: str, name: str) -> list[Any]:
    """The list of this name in an answer that should be an object with it alone.

    Raises:
        NotUsable: it is no JSON, or something else.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotUsable(LeftOut.MALFORMED) from None
    if not isinstance(found, dict) or not isinstance(found.get(name), list):
        raise NotUsable(LeftOut.MALFORMED)
    return list(found[name])


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def row_of(item: Any) -> MadeRow:
    """The row that an item of an answer is.

    Raises:
        NotUsable: it does not match the schema, has text that nobody sees, its plan contradicts itself, or its text
            speaks to the reader.
    """
    try:
        row = MadeRow.model_validate(item)
    except ValidationError:
        raise NotUsable(LeftOut.INVALID) from None
    tasks = row.plan.tasks
    texts = [row.plan.original_domain, *(text for task in tasks for text in (task.task_id, task.description))]
    if any(unicodedata.category(letter) == _INVISIBLE for letter in "".join((row.reason, *texts))):
        raise NotUsable(LeftOut.INVALID)
    _order(row.plan)
    if _speaks(_ANYWHERE, [row.reason, *texts]) or _speaks(_IN_PLANS, texts):
        raise NotUsable(LeftOut.INSTRUCTIONS)
    return row


def _speaks(pattern: re.Pattern[str], texts: Iterable[str]) -> bool:
    """Whether the pattern is in a text, however its letters are drawn and whatever separates its words."""
    for text in texts:
        plain = unicodedata.normalize("NFKC", text)
        if pattern.search(plain) or pattern.search(_BETWEEN_WORDS.sub(" ", plain)):
            return True
    return False


def verdict_of(item: Any) -> Verdict | None:
    """The verdict that an item of an answer is; None if it is none."""
    try:
        return Verdict.model_validate(item)
    except ValidationError:
        return None


def _order(plan: MadePlan) -> list[str]:
    """The ids of the tasks, each after those that it depends on."""
    names = [task.task_id for task in plan.tasks]
    known = set(names)
    for task in plan.tasks:
        needed = task.dependencies
        if len(set(needed)) < len(needed) or task.task_id in needed or not set(needed) <= known:
            raise NotUsable(LeftOut.INCONSISTENT)
    if len(known) < len(names):
        raise NotUsable(LeftOut.INCONSISTENT)
    try:
        return list(TopologicalSorter({task.task_id: task.dependencies for task in plan.tasks}).static_order())
    except CycleError:
        raise NotUsable(LeftOut.INCONSISTENT) from None


def plan_document(row: MadeRow, plan_id: str, created_at_ms: int) -> dict[str, Any]:
    """The plan as a cognitive plan by its Avro schema, docs/schemas/cognitive-plan.avsc."""
    plan = row.plan
    risk = plan.risk_score
    bands = ((_CRITICAL, "critical"), (_HIGH, "high"), (_MODERATE, "medium"), (0.0, "low"))
    return {
        "plan_id": plan_id,
        "version": "1.0.0",
        "intent_id": f"intent-{plan_id}",
        "tasks": [task.model_dump() for task in plan.tasks],
        "execution_order": _order(plan),
        "risk_score": risk,
        "risk_band": next(name for least, name in bands if risk >= least),
        "risk_factors": {},
        "explainability_token": plan_id,
        "reasoning_summary": row.reason,
        "status": "draft",
        "created_at": created_at_ms,
        "estimated_total_duration_ms": sum(task.estimated_duration_ms for task in plan.tasks),
        "complexity_score": plan.complexity_score,
        "original_domain": plan.original_domain,
        "original_priority": plan.original_priority,
        "original_security_level": _SECURITY,
        "metadata": {"source": "llm"},
    }
