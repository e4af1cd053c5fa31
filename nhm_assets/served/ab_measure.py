"""Measures an A/B test from documents: who answered which plan, and what people said of it.

In a replay, the challenger is asked about every plan that the champion answered, with the features that the specialist
stored, and is paired with what the champion said at the time. In a live test, the marks of ABTestingSpecialist tell who
answered; where a mark lacks the variant, the assignment is computed again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.ab_records import LIVE, MODEL_A, MODEL_B, AbResult, AbTest
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.opinion_origin import metadata_of
from nhm_assets.domain.partitions import Window
from nhm_assets.domain.specialists import recorded_specialist
from nhm_assets.domain.text import is_string
from nhm_assets.evaluation.predictions import served_answers
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.served.ab_assignment import variant_of
from nhm_assets.served.ab_interval import apart, paired
from nhm_assets.served.ab_verdict import verdict_of
from nhm_assets.served.columns import key_of
from nhm_assets.served.drift import read_features
from nhm_assets.served.origins import Opinion
from nhm_assets.served.reading import read_documents, read_reviews
from nhm_assets.served.serving_times import ServingTimes, read_serving_times

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.database import Database

    from nhm_assets.settings import Settings

Document = dict[str, Any]

MARK_FIELDS: Final = (
    "intent_id",
    "cognitive_plan.intent_id",
    "opinion.metadata.ab_test_variant",
    "opinion.metadata.ab_test_model_version",
    "opinion.metadata.ab_test_traffic_split",
    "opinion.metadata.ab_test_hash_value",
)
_VARIANT: Final = "ab_test_variant"
_VERSION: Final = "ab_test_model_version"


@dataclass(frozen=True, slots=True)
class Given:
    """An opinion of the test.

    Attributes:
        assigned: the variant that its plan belongs to.
        marked: the variant that answered, by its marks; None without marks.
        marked_version: the version that answered, by its marks; None if they do not name it.
        agrees: whether mark and assignment are the same; True without marks.
        approved: what people said; None if nobody reviewed it.
    """

    opinion: Opinion
    assigned: str
    marked: str | None
    marked_version: str | None
    agrees: bool
    approved: bool | None


@dataclass(frozen=True)
class _Answers:
    """Confidences of both versions, and whether people approved, of the reviewed plans; counts of all."""

    champion: np.ndarray
    champion_approved: np.ndarray
    challenger: np.ndarray
    challenger_approved: np.ndarray
    answered: int
    unusable: int

    @property
    def fewest(self) -> int:
        """Reviewed plans of the version that has fewer."""
        return min(len(self.champion), len(self.challenger))


def measure_test(
    client: "MlflowClient", database: "Database[Document]", settings: "Settings", test: AbTest, until: datetime
) -> AbResult:
    """A test from its start up to a time, or to its end. The same documents give the same result.

    Raises:
        PyMongoError: the documents cannot be read within SERVED_QUALITY_TIMEOUT_S.
        RegistryError: the challenger cannot be verified, loaded or asked.
    """
    import pymongo

    window = Window(test.started_at, max(test.started_at, min(until, test.over_at)))
    with pymongo.timeout(settings.served_quality_timeout_s):
        given = read_given(database, settings, test, window)
        features = None
        if test.mode != LIVE:
            plans = [one.opinion.plan_id for one in given if one.opinion.version == test.champion]
            features = read_features(database[settings.features_collection], plans)
    answers = _replayed(client, database, settings, test, given, *features) if features else _live(test, given)
    return result_of(test, given, answers, until=window.end, over=until >= test.over_at)


def result_of(test: AbTest, given: list[Given], answers: _Answers, *, until: datetime, over: bool) -> AbResult:
    """The figures and the verdict."""
    a, b = (answers.champion, answers.champion_approved), (answers.challenger, answers.challenger_approved)
    both = apart(*a, *b) if test.mode == LIVE else paired(a[0], b[0], a[1])
    # Nothing is compared before: in small samples, intervals promise too much.
    auc, precision = both if answers.fewest >= test.min_samples else (None, None)
    reviewed = len(a[0]) + (len(b[0]) if test.mode == LIVE else 0)
    approvals = int(a[1].sum()) + (int(b[1].sum()) if test.mode == LIVE else 0)
    plans = Counter(one.assigned for one in given)
    return AbResult(
        test=test,
        until=until,
        plans={variant: plans[variant] for variant in (MODEL_A, MODEL_B)},
        marked=sum(one.marked is not None for one in given),
        disagreeing=sum(not one.agrees for one in given),
        answered=answers.answered,
        unusable=answers.unusable,
        reviewed=reviewed,
        approvals=approvals,
        auc=auc,
        precision=precision,
        verdict=verdict_of(
            test, answered=answers.answered, reviewed=answers.fewest, auc=auc, precision=precision, over=over
        ),
    )


def read_given(database: "Database[Document]", settings: "Settings", test: AbTest, window: Window) -> list[Given]:
    """The opinions of models in a window, one per plan: the one that was reviewed, else the newest.

    Those between a promotion and the end of its restart are left out: nothing tells which version gave them.
    """
    specialist = recorded_specialist(test.specialist)
    times = read_serving_times(database[AUDIT_LOG], test.model, window.end)
    reviewed = read_reviews(database, settings, specialist, window, times).approvals()
    found: dict[str, Given] = {}
    for opinion, document in read_documents(
        database[settings.opinions_collection], specialist, window, more=MARK_FIELDS
    ):
        if not _counts(opinion, times):
            continue
        one = given_of(test, opinion, document, reviewed.get(key_of(opinion.opinion_id)))
        known = found.get(opinion.plan_id)
        if known is None or _rank(known) <= _rank(one):
            found[opinion.plan_id] = one
    return [found[plan] for plan in sorted(found)]


def _counts(opinion: Opinion, times: ServingTimes) -> bool:
    if not opinion.plan_id or opinion.version is None or opinion.at is None:
        return False
    return not np.isnan(opinion.confidence) and not times.in_gap(opinion.at)


def _rank(one: Given) -> tuple[bool, datetime | None]:
    return one.approved is not None, one.opinion.at


def given_of(test: AbTest, opinion: Opinion, document: Mapping[str, Any], approved: bool | None) -> Given:  # noqa: FBT001
    """An opinion with its assignment and its marks."""
    plan = document.get("cognitive_plan")
    intents = (document.get("intent_id"), plan.get("intent_id") if isinstance(plan, Mapping) else None)
    intent = next((one for one in intents if is_string(one)), "")
    assigned = variant_of(opinion.plan_id, intent, test.seed, test.split)
    marks = _marks(document)
    variant = marks.get(_VARIANT)
    known = variant if variant in (MODEL_A, MODEL_B) else None
    version = marks.get(_VERSION)
    return Given(
        opinion=opinion,
        assigned=assigned,
        marked=(known or assigned) if marks else None,
        marked_version=None if version is None else str(version),
        agrees=known in (None, assigned),
        approved=approved,
    )


def _marks(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = metadata_of(document)
    return {name: value for name, value in metadata.items() if name.startswith("ab_test_") and value is not None}


def _replayed(
    client: "MlflowClient",
    database: "Database[Document]",
    settings: "Settings",
    test: AbTest,
    given: list[Given],
    plan_ids: list[str],
    features: np.ndarray,
) -> _Answers:
    """Ask the challenger about every plan that the champion answered."""
    by_champion = {one.opinion.plan_id: one for one in given if one.opinion.version == test.champion}
    asked = served_answers(
        client,
        database[AUDIT_LOG],
        test.model,
        test.challenger,
        pd.DataFrame(features, columns=list(FEATURE_NAMES)),
        served=settings.served_classes,
        allow_unverified=settings.allow_unverified_champion,
    ).confidence
    rows = [(by_champion[plan], value) for plan, value in zip(plan_ids, asked, strict=True)]
    reviewed = [(one.opinion.confidence, value, one.approved) for one, value in rows if one.approved is not None]
    approved = np.array([row[2] for row in reviewed], dtype="bool")
    return _Answers(
        champion=np.array([row[0] for row in reviewed], dtype="float64"),
        champion_approved=approved,
        challenger=np.array([row[1] for row in reviewed], dtype="float64"),
        challenger_approved=approved,
        answered=len(rows),
        unusable=len(by_champion) - len(rows),
    )


def _live(test: AbTest, given: list[Given]) -> _Answers:
    """The opinions that carry marks, each for the variant that answered. Those of other versions do not count."""
    versions = {MODEL_A: test.champion, MODEL_B: test.challenger}
    marked = [one for one in given if one.marked is not None and one.marked_version in (None, versions[one.marked])]
    arms = [_reviewed_by(marked, variant) for variant in (MODEL_A, MODEL_B)]
    return _Answers(*arms[0], *arms[1], answered=len(marked), unusable=0)


def _reviewed_by(given: list[Given], variant: str) -> tuple[np.ndarray, np.ndarray]:
    found = [one for one in given if one.marked == variant and one.approved is not None]
    return (
        np.array([one.opinion.confidence for one in found], dtype="float64"),
        np.array([one.approved for one in found], dtype="bool"),
    )
