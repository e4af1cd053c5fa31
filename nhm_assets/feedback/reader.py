"""Reads from MongoDB: feedback by ranges of one index, everything else by id in batches.

What the server calls equal, Python may not: a collation ignores case, an array equals each of its elements. So each
answer is compared with what was asked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.provenance import PROVENANCE_FIELDS
from nhm_assets.domain.text import is_string
from nhm_assets.feedback.mongo_batches import BATCH, id_batches
from nhm_assets.feedback.opinion_scores import SCORE_FIELDS
from nhm_assets.feedback.raw_plans import documents_with_raw_plans
from nhm_assets.feedback.time_ranges import may_lie_in, odd_times

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

_FEEDBACK_FIELDS: Final = (
    "feedback_id",
    "opinion_id",
    "plan_id",
    "specialist_type",
    "submitted_at",
    "human_rating",
    "human_recommendation",
    *PROVENANCE_FIELDS,
)
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
        return self._feedback(window, dict.fromkeys(_FEEDBACK_FIELDS, 1))

    def undated(self) -> int:
        """Number of the specialist's feedback documents without a time, over all time."""
        query = {"specialist_type": self.specialist, "submitted_at": None}
        fields = {"_id": 0, "specialist_type": 1, "submitted_at": 1}
        found = self._collection(self.names.feedback).find(query, fields, session=self.session, batch_size=5000)
        return sum(self._is_ours(document) and document.get("submitted_at") is None for document in found)

    def whole_feedback(self, document_ids: Iterable[Any], window: Window) -> Iterator[Document]:
        """These feedback documents of a window, by `_id`, with all fields."""
        # An `_id` that is not UTF-8 cannot be asked for.
        unaskable = set()
        askable = []
        for document_id in document_ids:
            if _can_be_sent(document_id):
                askable.append(document_id)
            else:
                unaskable.add(repr(document_id))
        yield from self._by_ids(self.names.feedback, "_id", askable)
        if unaskable:
            yield from (one for one in self._feedback(window, None) if repr(one["_id"]) in unaskable)

    def opinions(
        self, plain: Sequence[str], with_plan: Sequence[str] = (), *, fields: Iterable[str] = SCORE_FIELDS
    ) -> dict[str, Document]:
        """Opinion id -> its plan id and scores, for those that exist and belong to the specialist.

        Args:
            plain: ids of opinions.
            with_plan: ids of others, whose documents also have the `cognitive_plan`, raw where it is a map.
            fields: what is read besides the ids, if not the scores.
        """
        shown = dict.fromkeys(("opinion_id", "specialist_type", "plan_id", *fields), 1)
        more = {"specialist_type": self.specialist}
        opinions = list(self._by_ids(self.names.opinions, "opinion_id", plain, shown, more))
        opinions += self._with_raw_plans(self.names.opinions, "opinion_id", with_plan, "cognitive_plan", shown, more)
        return _by_id("opinion_id", None, filter(self._is_ours, opinions), [*plain, *with_plan])

    def opinion_plans(self, opinion_ids: Sequence[str]) -> dict[str, Any]:
        """Opinion id -> its `cognitive_plan`, of whatever type; None for an opinion without one."""
        opinions = (
            opinion
            for ids in id_batches(opinion_ids)
            for opinion in self._collection(self.names.opinions).aggregate(
                [
                    {"$match": {"opinion_id": {"$in": ids}, "specialist_type": self.specialist}},
                    {"$project": {"opinion_id": 1, "specialist_type": 1, "cognitive_plan": 1}},
                    {"$project": dict.fromkeys(_UNUSED_PLAN_FIELDS, 0)},
                ],
                session=self.session,
                batchSize=BATCH,
            )
        )
        return _by_id("opinion_id", "cognitive_plan", filter(self._is_ours, opinions), opinion_ids)

    def ledger_plans(self, plan_ids: Iterable[str]) -> dict[str, Any]:
        """Plan id -> `plan_data` of its ledger document, raw where it is a map."""
        wanted = list(plan_ids)
        entries = self._with_raw_plans(self.names.plans, "plan_id", wanted, "plan_data", {"plan_id": 1})
        return _by_id("plan_id", "plan_data", entries, wanted)

    def stored_features(self, plan_ids: Iterable[str]) -> dict[str, Document]:
        """Plan id -> its stored features document."""
        wanted = list(plan_ids)
        fields = {"plan_id": 1, "features": 1, "extractor": 1}
        return _by_id("plan_id", None, self._by_ids(self.names.features, "plan_id", wanted, fields), wanted)

    def _feedback(self, window: Window, fields: Document | None) -> Iterator[Document]:
        collection = self._collection(self.names.feedback)
        times = [*may_lie_in(window), *odd_times(collection, self.specialist, self.session)]
        # Every branch names the specialist: only then does each use its own range of the index.
        branches = [{"specialist_type": self.specialist, "submitted_at": one} for one in times]
        yield from filter(
            self._is_ours, collection.find({"$or": branches}, fields, session=self.session, batch_size=5000)
        )

    def _is_ours(self, document: Document) -> bool:
        specialist = document.get("specialist_type")
        return is_string(specialist) and specialist == self.specialist

    def _by_ids(
        self,
        collection: str,
        field: str,
        ids: Iterable[Any],
        fields: Document | None = None,
        more: Document | None = None,
    ) -> Iterator[Document]:
        for batch in id_batches(ids):
            yield from self._collection(collection).find(
                {field: {"$in": batch}, **(more or {})}, fields, session=self.session, batch_size=BATCH
            )

    def _with_raw_plans(
        self,
        collection: str,
        field: str,
        ids: Iterable[Any],
        plan: str,
        fields: Document,
        more: Document | None = None,
    ) -> list[Document]:
        query = dict(more or {})
        parts: list[bytes] = []
        for batch in id_batches(ids):
            query[field] = {"$in": batch}
            found = self._collection(collection).find_raw_batches(
                query, {**fields, plan: 1}, session=self.session, batch_size=BATCH
            )
            # It yields bytes, whatever its type says.
            parts += cast("Iterable[bytes]", found)
        return documents_with_raw_plans(parts, plan, self.database.codec_options)

    def _collection(self, name: str) -> "Collection[Document]":
        return self.database[name]


def _can_be_sent(value: Any) -> bool:
    from bson import encode

    try:
        encode({"": value})
    except UnicodeEncodeError:
        return False
    return True


def _by_id(id_field: str, field: str | None, documents: Iterable[Document], wanted: Iterable[str]) -> dict[str, Any]:
    """Id -> that field of its document, or the whole document, for exactly the ids that were asked for.

    If an id occurs twice, the document with the greatest `_id` counts, so that every run gives the same.
    """
    asked = set(wanted)
    found = [one for one in documents if is_string(name := one.get(id_field)) and name in asked]
    by_id = {one[id_field]: one.get(field) if field else one for one in found}
    if len(by_id) == len(found):
        return by_id
    found.sort(key=lambda document: repr(document["_id"]))
    return {one[id_field]: one.get(field) if field else one for one in found}
