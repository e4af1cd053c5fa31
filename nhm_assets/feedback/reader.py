"""Reads from MongoDB: feedback by ranges of one index, everything else by id in batches.

What the server calls equal, Python may not: a collation ignores case, an array equals each of its elements. So each
answer is compared with what was asked for.

Large answers are returned unread, so that the thread that asks can ask again at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.provenance import PROVENANCE_FIELDS
from nhm_assets.domain.text import is_string
from nhm_assets.feedback.batch_size import MOST
from nhm_assets.feedback.found import Found
from nhm_assets.feedback.mongo_batches import BATCH, id_batches
from nhm_assets.feedback.opinion_columns import OPINION_FIELDS, Opinions, opinions_in
from nhm_assets.feedback.opinion_scores import SCORE_FIELDS
from nhm_assets.feedback.raw_answers import find_raw
from nhm_assets.feedback.raw_plans import plans_of
from nhm_assets.feedback.stored_columns import STORED_FIELDS
from nhm_assets.feedback.time_ranges import may_lie_in, odd_times

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]
T = TypeVar("T")

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
_FEEDBACK_BATCH: Final = 5000


@dataclass(frozen=True)
class CollectionNames:
    """Names of the four collections that a dataset is read from."""

    feedback: str
    opinions: str
    plans: str
    features: str


@dataclass(frozen=True)
class Unread(Generic[T]):
    """Documents as MongoDB sent them.

    Attributes:
        size: in bytes.
        read: reads them, once: then they are freed.
    """

    size: int
    read: Callable[[], T]


@dataclass(frozen=True)
class Reader:
    """Reads the documents of one specialist in one session."""

    database: "Database[Document]"
    names: CollectionNames
    specialist: str
    session: "ClientSession | None"

    def feedback(self, window: Window) -> Iterator[bytes]:
        """Feedback that may lie in the window, as MongoDB sends it; `Judged` decides whether its time does."""
        query = self._feedback(window)
        fields = dict.fromkeys(_FEEDBACK_FIELDS, 1)
        found = self._collection(self.names.feedback).find_raw_batches(
            query, fields, session=self.session, batch_size=_FEEDBACK_BATCH
        )
        # It yields bytes, whatever its type says.
        return cast("Iterator[bytes]", found)

    def undated(self) -> int:
        """Number of the specialist's feedback documents without a time, over all time."""
        query = {"specialist_type": self.specialist, "submitted_at": None}
        fields = {"_id": 0, "specialist_type": 1, "submitted_at": 1}
        found = self._collection(self.names.feedback).find(
            query, fields, session=self.session, batch_size=_FEEDBACK_BATCH
        )
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
            collection = self._collection(self.names.feedback)
            found = collection.find(self._feedback(window), session=self.session, batch_size=_FEEDBACK_BATCH)
            yield from (one for one in found if self._is_ours(one) and repr(one["_id"]) in unaskable)

    def opinions(self, ids: Sequence[str], *, fields: Iterable[str]) -> dict[str, Document]:
        """Opinion id -> its document with these fields, for those that exist and belong to the specialist."""
        shown = dict.fromkeys(("opinion_id", "specialist_type", *fields), 1)
        more = {"specialist_type": self.specialist}
        opinions = self._by_ids(self.names.opinions, "opinion_id", ids, shown, more)
        return _by_id("opinion_id", filter(self._is_ours, opinions), ids)

    def scored_opinions(self, plain: Sequence[str], with_plan: Sequence[str]) -> Unread[list[Opinions]]:
        """Plan ids and scores of those opinions that exist and belong to the specialist.

        Args:
            plain: ids of opinions.
            with_plan: ids of others, of which the plan is read, too.
        """
        shown = dict.fromkeys(("opinion_id", "specialist_type", "plan_id", *SCORE_FIELDS), 1)
        more = {"specialist_type": self.specialist}
        without, within = (
            self._found(self.names.opinions, "opinion_id", ids, OPINION_FIELDS, {**shown, **plan}, more)
            for ids, plan in ((plain, {}), (with_plan, {"cognitive_plan": 1}))
        )
        return Unread(
            without.size + within.size,
            lambda: [opinions_in(without.read(), with_plans=False), opinions_in(within.read(), with_plans=True)],
        )

    def opinion_plans(self, opinion_ids: Sequence[str]) -> Unread[dict[str, Any]]:
        """Opinion id -> its `cognitive_plan`, raw where it is a map."""
        fields = {"opinion_id": 1, "specialist_type": 1, "cognitive_plan": 1}
        more = {"specialist_type": self.specialist}
        found = self._found(self.names.opinions, "opinion_id", opinion_ids, ("cognitive_plan",), fields, more)
        return Unread(found.size, lambda: plans_of(found.read(), "cognitive_plan"))

    def ledger_plans(self, plan_ids: Iterable[str]) -> Unread[dict[str, Any]]:
        """Plan id -> `plan_data` of its ledger document, raw where it is a map."""
        fields = {"plan_id": 1, "plan_data": 1}
        found = self._found(self.names.plans, "plan_id", plan_ids, ("plan_data",), fields)
        return Unread(found.size, lambda: plans_of(found.read(), "plan_data"))

    def stored_features(self, plan_ids: Iterable[str]) -> Unread[Found]:
        """The stored features documents of these plans."""
        fields = dict.fromkeys(("plan_id", *STORED_FIELDS), 1)
        return self._found(self.names.features, "plan_id", plan_ids, STORED_FIELDS, fields)

    def _feedback(self, window: Window) -> Document:
        """The query for feedback that may lie in the window."""
        collection = self._collection(self.names.feedback)
        times = [*may_lie_in(window), *odd_times(collection, self.specialist, self.session)]
        # Every branch names the specialist: only then does each use its own range of the index.
        branches = [{"specialist_type": self.specialist, "submitted_at": one} for one in times]
        return {"$or": branches}

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

    def _found(
        self,
        collection: str,
        id_field: str,
        ids: Iterable[str],
        fields: Sequence[str],
        shown: Document,
        more: Mapping[str, str] | None = None,
    ) -> Unread[Found]:
        """The documents with these ids, undecoded.

        Args:
            collection: its name.
            id_field: the field with the id.
            ids: those to look for.
            fields: fields at the top that are read as columns.
            shown: what MongoDB sends of each document.
            more: texts that other fields must have.
        """
        asked = list(ids)
        parts: list[bytes] = []
        for batch in id_batches(asked, MOST):
            query = {id_field: {"$in": batch}, **(more or {})}
            parts += find_raw(self._collection(collection), query, shown, self.session, most=len(batch))
        size, options = sum(map(len, parts)), self.database.codec_options

        def read() -> Found:
            found = Found(parts, id_field, asked, fields, options, exactly=more)
            parts.clear()
            return found

        return Unread(size, read)

    def _collection(self, name: str) -> "Collection[Document]":
        return self.database[name]


def _can_be_sent(value: Any) -> bool:
    from bson import encode

    try:
        encode({"": value})
    except UnicodeEncodeError:
        return False
    return True


def _by_id(id_field: str, documents: Iterable[Document], wanted: Iterable[str]) -> dict[str, Document]:
    """Id -> its document, for exactly the ids that were asked for.

    If an id occurs twice, the document with the greatest `_id` counts, so that every run gives the same.
    """
    asked = set(wanted)
    found = [one for one in documents if is_string(name := one.get(id_field)) and name in asked]
    by_id = {one[id_field]: one for one in found}
    if len(by_id) == len(found):
        return by_id
    found.sort(key=lambda document: repr(document["_id"]))
    return {one[id_field]: one for one in found}
