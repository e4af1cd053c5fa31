"""Reads the opinions of a week, and the feedback of some weeks with the opinions that it is about.

Whoever calls it limits the time: nothing here is worth waiting for.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.dataset_schema import SCRIPTED
from nhm_assets.domain.partitions import Window
from nhm_assets.domain.provenance import provenance_of
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.reader import CollectionNames, Reader
from nhm_assets.feedback.rules import Feedback, judge
from nhm_assets.served.columns import Reviews, ReviewsRead, version_of
from nhm_assets.served.origins import OPINION_FIELDS, Opinion, opinion_of
from nhm_assets.served.serving_times import ServingTimes

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

    from nhm_assets.settings import Settings

Document = dict[str, Any]


def read_opinions(collection: "Collection[Document]", specialist: Specialist, window: Window) -> Iterator[Opinion]:
    """The opinions that the specialist gave in the window."""
    return (opinion for opinion, _ in read_documents(collection, specialist, window))


def read_documents(
    collection: "Collection[Document]", specialist: Specialist, window: Window, *, more: Sequence[str] = ()
) -> Iterator[tuple[Opinion, Document]]:
    """The opinions that the specialist gave in the window, with their documents; times are dates or ISO texts.

    Args:
        collection: of the opinions.
        specialist: who gave them.
        window: in which they were given.
        more: fields of the documents besides those of an opinion.
    """
    day = timedelta(days=1)
    texts = {"$gte": f"{window.start - day:%Y-%m-%d}", "$lt": f"{window.end + 2 * day:%Y-%m-%d}"}
    ranges = [{"$gte": window.start, "$lt": window.end}, texts]
    query = {"$or": [{"specialist_type": str(specialist), "evaluated_at": one} for one in ranges]}
    for document in collection.find(query, dict.fromkeys((*OPINION_FIELDS, *more), 1), batch_size=5000):
        if document.get("specialist_type") != specialist:
            # A collation may ignore case.
            continue
        opinion = opinion_of(document)
        if opinion.at is not None and window.start <= opinion.at < window.end:
            yield opinion, document


def read_reviews(
    database: "Database[Document]", settings: "Settings", specialist: Specialist, window: Window, times: ServingTimes
) -> Reviews:
    """The feedback that people gave in the window, by time, each with its opinion.

    Per opinion the newest counts, as in the dataset. Feedback of scripts, and on opinions that do not exist, is left
    out.
    """
    names = CollectionNames(
        settings.feedback_collection,
        settings.opinions_collection,
        settings.plans_collection,
        settings.features_collection,
    )
    reader, reviews = Reader(database, names, specialist, None), ReviewsRead()
    # In batches, since the documents of many weeks take far more memory than what is kept of them.
    for batch in batches(_accepted(reader, settings, window)):
        ids = sorted({one.opinion_id for one in batch})
        opinions = {name: opinion_of(one) for name, one in reader.opinions(ids, fields=OPINION_FIELDS).items()}
        versions = {name: version_of(one, times) for name, one in opinions.items()}
        for one in batch:
            if one.opinion_id in opinions:
                reviews.append(one, opinions[one.opinion_id], versions[one.opinion_id])
    return reviews.newest()


def _accepted(reader: Reader, settings: "Settings", window: Window) -> Iterator[Feedback]:
    """The feedback that counts, each document by itself."""
    prefixes, lowest = settings.scripted_prefixes, settings.min_feedback_rating
    for document in reader.feedback(window):
        if provenance_of(document, prefixes) == SCRIPTED:
            continue
        feedback = judge(document, window)
        if isinstance(feedback, Feedback) and feedback.human_rating >= lowest:
            yield feedback
