"""What is read from MongoDB, and how: one range scan of feedback, everything else by id in batches."""

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
_NO_DATE_TYPES: Final = (
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
"""One range of the index each. Arrays are found by what they hold: asked for by type they have no range."""

_NOT_SURELY_A_TIME: Final = (
    r"^(?!\d{4}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$)"
)
"""Strings that are not surely a time of the year they begin with. A lookahead, since a negated regex would
be judged on the documents instead of the index."""

_PLAN_BALLAST: Final = (
    "cognitive_plan.execution_order",
    "cognitive_plan.reasoning_summary",
    "cognitive_plan.metadata",
    "cognitive_plan.tasks.parameters",
    "cognitive_plan.tasks.metadata",
    "cognitive_plan.tasks.required_capabilities",
)
"""Parts of a plan that no feature reads. They are taken out rather than the others picked, since picking
would lose the difference between a null and a missing field."""


@dataclass(frozen=True)
class CollectionNames:
    """Names of the four collections that a dataset is read from."""

    feedback: str
    opinions: str
    plans: str
    features: str


@dataclass(frozen=True)
class Reader:
    """Reads the documents of one specialist, in one session."""

    database: "Database[Document]"
    names: CollectionNames
    specialist: str
    session: "ClientSession | None"

    def feedback(self, window: Window) -> Iterator[Document]:
        """Feedback that may lie in the window: what dates and strings say is for the rules to judge."""
        # The specialist stands in every branch: only then does each get a range of the index of its own.
        branches = [{"specialist_type": self.specialist, "submitted_at": times} for times in _may_lie_in(window)]
        yield from self.database[self.names.feedback].find(
            {"$or": branches}, dict.fromkeys(_FEEDBACK_FIELDS, 1), session=self.session, batch_size=5000
        )

    def undated(self) -> int:
        """How many of the specialist's feedback documents carry no time, over all time."""
        query = {"specialist_type": self.specialist, "submitted_at": None}
        return self.database[self.names.feedback].count_documents(query, session=self.session)

    def whole_feedback(self, document_ids: Iterable[Any]) -> Iterator[Document]:
        """Feedback documents by `_id`, with all their fields."""
        return self._by_ids(self.names.feedback, "_id", document_ids)

    def plan_ids(self, opinion_ids: Sequence[str]) -> dict[str, Any]:
        """Opinion id -> its plan id, for those of these opinions that exist and are the specialist's."""
        query = {"opinion_id": {"$in": list(opinion_ids)}, "specialist_type": self.specialist}
        found = self.database[self.names.opinions].find(
            query, {"opinion_id": 1, "plan_id": 1}, session=self.session, batch_size=BATCH
        )
        # Should an id occur twice, the last in the order of `_id` counts, in every run.
        ordered = sorted(found, key=lambda opinion: str(opinion["_id"]))
        return {one["opinion_id"]: one.get("plan_id") for one in ordered if isinstance(one["opinion_id"], str)}

    def opinion_plans(self, opinion_ids: Sequence[str]) -> dict[str, Any]:
        """Opinion id -> its `cognitive_plan`, whatever that is, for those that carry one."""
        pipeline: list[Document] = [
            {"$match": {"opinion_id": {"$in": list(opinion_ids)}, "specialist_type": self.specialist}},
            {"$project": {"opinion_id": 1, "cognitive_plan": 1}},
            {"$project": dict.fromkeys(_PLAN_BALLAST, 0)},
        ]
        found = self.database[self.names.opinions].aggregate(pipeline, session=self.session, batchSize=BATCH)
        ordered = sorted(found, key=lambda opinion: str(opinion["_id"]))
        return {one["opinion_id"]: one.get("cognitive_plan") for one in ordered if isinstance(one["opinion_id"], str)}

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


def _may_lie_in(window: Window) -> list[Any]:
    """Ranges of one index: dates in the window, strings of its years, and what may be no time at all.

    An offset moves a string's own date by less than a day, which only matters at the turn of a year.
    """
    day = timedelta(days=1)
    years = str((window.start - day).year), str((window.end + day).year + 1)
    return [
        {"$gte": window.start, "$lt": window.end},
        {"$gte": years[0], "$lt": years[1]},
        {"$regex": _NOT_SURELY_A_TIME},
        [],
        *({"$type": kind} for kind in _NO_DATE_TYPES),
    ]
