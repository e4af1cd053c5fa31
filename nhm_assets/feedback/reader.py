"""Reads from MongoDB: feedback by one range scan, everything else by id in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.partitions import Window
from nhm_assets.feedback.mongo_batches import BATCH, batches

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.database import Database

Document = dict[str, Any]

_FEEDBACK_FIELDS: Final = (
    "feedback_id",
    "opinion_id",
    "plan_id",
    "submitted_at",
    "human_rating",
    "human_recommendation",
)
_TYPES_WITHOUT_TIME: Final = (
    "number",
    "bool",
    "object",
    "objectId",
    "timestamp",
    "binData",
    "regex",
    "javascript",
    "minKey",
    "maxKey",
)
"""BSON types that are not a time. Each uses a range of the index. Arrays are not among them: a query by type finds
an array by its elements, without a range."""

_DOUBTFUL_TIME: Final = (
    r"^(?!\d{4}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$)"
)
"""Matches strings that may not be a time, or whose time may be in another year than their first four digits. It uses a
lookahead because MongoDB evaluates a negated regex on the documents, not on the index."""

_UNUSED_PLAN_FIELDS: Final = (
    "cognitive_plan.execution_order",
    "cognitive_plan.reasoning_summary",
    "cognitive_plan.metadata",
    "cognitive_plan.tasks.parameters",
    "cognitive_plan.tasks.metadata",
    "cognitive_plan.tasks.required_capabilities",
)
"""Parts of a plan that no feature reads. Queries exclude them instead of including the rest, because including
would hide the difference between a null and a missing field."""


@dataclass(frozen=True)
class CollectionNames:
    """Names of the four collections that a dataset is read from."""

    feedback: str
    opinions: str
    plans: str
    features: str


@dataclass(frozen=True)
class Reader:
    """Reads the documents of one specialist in one session."""

    database: "Database[Document]"
    names: CollectionNames
    specialist: str
    session: "ClientSession | None"

    def feedback(self, window: Window) -> Iterator[Document]:
        """Feedback that may lie in the window; `rules.judge` decides whether its time does."""
        # Every branch names the specialist: only then does each use its own range of the index.
        branches = [{"specialist_type": self.specialist, "submitted_at": times} for times in _may_lie_in(window)]
        yield from self.database[self.names.feedback].find(
            {"$or": branches}, dict.fromkeys(_FEEDBACK_FIELDS, 1), session=self.session, batch_size=5000
        )

    def undated(self) -> int:
        """Number of the specialist's feedback documents without a time, over all time."""
        query = {"specialist_type": self.specialist, "submitted_at": None}
        return self.database[self.names.feedback].count_documents(query, session=self.session)

    def whole_feedback(self, document_ids: Iterable[Any]) -> Iterator[Document]:
        """Feedback documents by `_id`, with all fields."""
        return self._by_ids(self.names.feedback, "_id", document_ids)

    def plan_ids(self, opinion_ids: Sequence[str]) -> dict[str, Any]:
        """Opinion id -> plan id, for those of these opinions that exist and belong to the specialist."""
        query = {"opinion_id": {"$in": list(opinion_ids)}, "specialist_type": self.specialist}
        opinions = self.database[self.names.opinions].find(
            query, {"opinion_id": 1, "plan_id": 1}, session=self.session, batch_size=BATCH
        )
        return _by_opinion_id(opinions, "plan_id")

    def opinion_plans(self, opinion_ids: Sequence[str]) -> dict[str, Any]:
        """Opinion id -> its `cognitive_plan`, of whatever type; None for an opinion without one."""
        pipeline: list[Document] = [
            {"$match": {"opinion_id": {"$in": list(opinion_ids)}, "specialist_type": self.specialist}},
            {"$project": {"opinion_id": 1, "cognitive_plan": 1}},
            {"$project": dict.fromkeys(_UNUSED_PLAN_FIELDS, 0)},
        ]
        opinions = self.database[self.names.opinions].aggregate(pipeline, session=self.session, batchSize=BATCH)
        return _by_opinion_id(opinions, "cognitive_plan")

    def ledger_plans(self, plan_ids: Iterable[str]) -> dict[str, Any]:
        """Plan id -> `plan_data` of its ledger document."""
        fields = {"plan_id": 1, "plan_data": 1}
        return {
            entry["plan_id"]: entry.get("plan_data")
            for entry in self._by_ids(self.names.plans, "plan_id", plan_ids, fields)
            if isinstance(entry["plan_id"], str)
        }

    def stored_features(self, plan_ids: Iterable[str]) -> dict[str, Document]:
        """Plan id -> its stored features document."""
        fields = {"plan_id": 1, "features": 1, "extractor": 1}
        return {
            stored["plan_id"]: stored
            for stored in self._by_ids(self.names.features, "plan_id", plan_ids, fields)
            if isinstance(stored["plan_id"], str)
        }

    def _by_ids(
        self, collection: str, field: str, ids: Iterable[Any], fields: Document | None = None
    ) -> Iterator[Document]:
        for batch in batches(ids):
            yield from self.database[collection].find(
                {field: {"$in": batch}}, fields, session=self.session, batch_size=BATCH
            )


def _by_opinion_id(opinions: Iterable[Document], field: str) -> dict[str, Any]:
    # If an id occurs twice, the opinion with the greatest `_id` counts, so that every run gives the same.
    ordered = sorted(opinions, key=lambda opinion: str(opinion["_id"]))
    return {each["opinion_id"]: each.get(field) for each in ordered if isinstance(each["opinion_id"], str)}


def _may_lie_in(window: Window) -> list[Any]:
    """Ranges of one index: dates in the window, strings of its years, and everything that may be no time at all.

    A string's offset moves its date by less than a day, which matters only at the turn of a year.
    """
    day = timedelta(days=1)
    years = str((window.start - day).year), str((window.end + day).year + 1)
    return [
        {"$gte": window.start, "$lt": window.end},
        {"$gte": years[0], "$lt": years[1]},
        {"$regex": _DOUBTFUL_TIME},
        [],
        *({"$type": kind} for kind in _TYPES_WITHOUT_TIME),
    ]
