"""Reads the opinions of a week, and the feedback of some weeks with the opinions that it is about.

Whoever calls it limits the time: nothing here is worth waiting for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback.accepted import Accepted
from nhm_assets.feedback.judged_together import Judged
from nhm_assets.feedback.mongo_batches import BATCH
from nhm_assets.feedback.reader import CollectionNames, Reader
from nhm_assets.served.columns import Reviews
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
    reader = Reader(database, names, specialist, None)
    selection = replace(settings.selection, include_scripted=False)
    judged = Judged(specialist, window, selection, database.codec_options)
    for answer in reader.feedback(window):
        judged.take(answer)
    accepted = Accepted(judged.accepted)
    chosen = accepted.newest_per_opinion(np.ones(len(accepted), "bool"), min_rating=selection.min_rating)
    # In batches, since the documents of many weeks take far more memory than what is kept of them.
    firsts = range(0, max(1, len(chosen)), BATCH)
    return Reviews.joined([_with_opinions(reader, accepted, chosen[one : one + BATCH], times) for one in firsts])


def _with_opinions(reader: Reader, accepted: Accepted, chosen: np.ndarray, times: ServingTimes) -> Reviews:
    """The chosen feedback on opinions that exist."""
    names = accepted.opinion_ids.take(accepted.opinions[chosen]).to_pylist()
    opinions = {name: opinion_of(one) for name, one in reader.opinions(sorted(names), fields=OPINION_FIELDS).items()}
    given = chosen[np.array([name in opinions for name in names], "bool")]
    feedback = accepted.feedback
    known = [opinions[name] for name in names if name in opinions]
    return Reviews.of(known, times, feedback.times[given], feedback.labels[given])
