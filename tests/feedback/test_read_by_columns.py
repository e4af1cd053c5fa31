"""Documents that are read together result in what each results in by itself; only unusual ones are decoded.

Documents are made from a seed, so a failure names the seed that repeats it.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from bson import Int64, ObjectId, decode

from nhm_assets.domain.dataset_schema import SCRIPTED
from nhm_assets.domain.feature_names import COMPUTED_FEATURES, FEATURE_NAMES
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.provenance import provenance_of
from nhm_assets.domain.times import lies_in, microseconds
from nhm_assets.feedback.accepted import GIVEN_BY, Accepted
from nhm_assets.feedback.bson_columns import Answers
from nhm_assets.feedback.features import EXTRACTOR
from nhm_assets.feedback.found import Found
from nhm_assets.feedback.judged_together import Judged
from nhm_assets.feedback.opinion_columns import OPINION_FIELDS, opinions_in
from nhm_assets.feedback.opinion_scores import scores_of
from nhm_assets.feedback.rules import Feedback, Rejection, judge
from nhm_assets.feedback.stored_columns import STORED_FIELDS, StoredFeatures
from nhm_assets.feedback.stored_features import needs_ours, parse_stored
from resources.mongo import tolerant_decoding
from tests.support.documents import NOW, WEEK, WEEK_END, Document, feedback, opinion
from tests.support.strange_values import Strange, as_stored
from tests.support.windows import ALL

WINDOW = Partition.parse(WEEK, "technical").window(days=30, now=NOW)
OPTIONS = tolerant_decoding()
PER_SEED = 300
SEEDS = range(6)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents were decoded, call by call."""
    counts: list[int] = []
    original = Answers.decoded

    def counting(self: Answers, starts: Any, options: Any) -> list[Document]:
        counts.append(len(list(starts)))
        return original(self, starts, options)

    monkeypatch.setattr(Answers, "decoded", counting)
    return counts


def spoiled(strange: Strange, documents: list[Document]) -> list[bytes]:
    """Half of the documents with faults, as MongoDB holds them."""
    faults = strange.rng.choices([0, 1, 3], [2, 1, 1], k=len(documents))
    some = [strange.spoiled(one, faults=count) for one, count in zip(documents, faults, strict=True)]
    return [as_stored({**one, "_id": before["_id"]}).raw for one, before in zip(some, documents, strict=True)]


def reviews(rng: random.Random) -> Iterator[Document]:
    for number in range(PER_SEED):
        at = WEEK_END - timedelta(days=rng.choice([1, 2, 29, 31]), seconds=rng.randrange(3))
        yield feedback(
            rng.randrange(PER_SEED // 2),
            _id=rng.choice([number, ObjectId(number.to_bytes(12))]),
            feedback_id=rng.choice(["feedback-1", "fb-auto-1", f"feedback-{number}"]),
            plan_id=rng.choice(["plan-1", None, "", "plän", f"plan-{number}"]),
            submitted_at=rng.choice([at, at.isoformat()]),
            human_rating=rng.choice([0, 0.5, Int64(1), 1.5]),
            human_recommendation=rng.choice(["approve", " Reject ", "review_required"]),
            feedback_source=rng.choice(["human_expert", "approval_service", None]),
            feedback_notes=rng.choice(["", "[AUTO] made", "[auto]"]),
            metadata=rng.choice([{}, {"source": "approval_service"}, {"auto_generated": rng.choice([1, True])}, None]),
        )


def one_by_one(stored: list[bytes], *, include_scripted: bool) -> tuple[list[Feedback], list[Rejection], int]:
    accepted: list[Feedback] = []
    rejected: list[Rejection] = []
    scripted = 0
    for document in (decode(one, OPTIONS) for one in stored):
        specialist = document.get("specialist_type")
        if type(specialist) is not str or specialist != "technical":
            continue
        provenance = provenance_of(document, ALL.scripted_prefixes)
        if provenance == SCRIPTED and lies_in(WINDOW, document.get("submitted_at")):
            scripted += 1
            if not include_scripted:
                continue
        verdict = judge(document, WINDOW, provenance)
        if isinstance(verdict, Feedback):
            accepted.append(verdict)
        elif verdict:
            rejected.append(verdict)
    accepted.sort(key=lambda one: (*one[:5], one.plan_id or "", one.provenance))
    return accepted, rejected, scripted


@pytest.mark.parametrize("include_scripted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_feedback_is_judged_as_one_by_one(seed: int, include_scripted: bool):  # noqa: FBT001
    strange = Strange(seed)
    stored = spoiled(strange, list(reviews(strange.rng)))
    judged = Judged("technical", WINDOW, replace(ALL, include_scripted=include_scripted), OPTIONS)
    for first in range(0, PER_SEED, 100):
        judged.take(b"".join(stored[first : first + 100]))
    accepted, rejected, scripted = one_by_one(stored, include_scripted=include_scripted)
    assert len(accepted) > PER_SEED / 10
    found = Accepted(judged.accepted)
    part = found.feedback
    assert part.times.tolist() == [microseconds(one.submitted_at) for one in accepted]
    assert part.feedback_ids.to_pylist() == [one.feedback_id for one in accepted]
    assert part.labels.tolist() == [one.label for one in accepted]
    assert part.ratings.tolist() == [one.human_rating for one in accepted]
    assert part.opinion_ids.to_pylist() == [one.opinion_id for one in accepted]
    assert part.plan_ids.to_pylist() == [one.plan_id for one in accepted]
    assert [GIVEN_BY[number] for number in part.provenances] == [one.provenance for one in accepted]
    assert {repr(part.document_id(n)) for n in range(len(accepted))} == {repr(one.document_id) for one in accepted}
    assert sorted(map(repr, judged.rejected)) == sorted(map(repr, rejected))
    assert judged.scripted == scripted
    assert list(dict.fromkeys(one.opinion_id for one in accepted)) == found.opinion_ids.to_pylist()
    assert found.opinion_ids.take(found.opinions).to_pylist() == part.opinion_ids.to_pylist()


def test_usual_feedback_is_not_decoded(decoded: list[int]):
    judged = Judged("technical", WINDOW, ALL, OPTIONS)
    usual = [feedback(number, _id=ObjectId(), metadata={"source": "portal"}) for number in range(50)]
    unusual = [feedback(50, _id=ObjectId(), human_recommendation=" Approve "), feedback(51, _id="51")]
    judged.take(b"".join(as_stored(one).raw for one in (*usual, *unusual)))
    assert sum(len(part.times) for part in judged.accepted) == 52
    assert decoded == [2]


def scored(rng: random.Random) -> Iterator[Document]:
    for number in range(PER_SEED):
        scores = {
            "confidence_score": rng.choice([0.5, 1, Int64(2), True, None, 2e6, "x"]),
            "risk_score": rng.choice([0.25, 0, None, float("nan")]),
            "recommendation": rng.choice(["approve", "conditional", "Approve", None, 3]),
        }
        scores.pop(rng.choice([*scores, "nothing"]), None)
        plan_id = rng.choice([f"plan-{number}", None, "", "plän", 7])
        yield opinion(
            number, _id=number, **rng.choice([scores, {"opinion": scores, "risk_score": 0.75}, {}]), plan_id=plan_id
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_opinions_are_scored_as_one_by_one(seed: int):
    strange = Strange(seed)
    stored = spoiled(strange, list(scored(strange.rng)))
    asked = [f"opinion-{number}" for number in range(PER_SEED)]
    exactly = {"specialist_type": "technical"}
    found = opinions_in(Found(stored, "opinion_id", asked, OPINION_FIELDS, OPTIONS, exactly=exactly), with_plans=True)
    documents = sorted((decode(one, OPTIONS) for one in stored), key=lambda one: repr(one["_id"]))
    expected = {
        one["opinion_id"]: one
        for one in documents
        if type(one.get("opinion_id")) is str
        and one["opinion_id"] in asked
        and one.get("specialist_type") == "technical"
    }
    assert len(expected) > PER_SEED / 2
    assert found.plan_ids == {
        name: one["plan_id"] if type(one.get("plan_id")) is str else None for name, one in expected.items()
    }
    np.testing.assert_array_equal(found.scores, np.array([scores_of(expected[name]) for name in found.plan_ids]))


def stored_features(rng: random.Random) -> Iterator[Document]:
    for number in range(PER_SEED):
        values: Document = {name: rng.choice([rng.random(), 1.0, 3]) for name in FEATURE_NAMES}
        values[rng.choice(FEATURE_NAMES)] = rng.choice([0.5, True, None, "1", float("nan"), 1e39, Int64(7), 10**400])
        fields: Document = {}
        if rng.random() < 0.2:
            values = {name: values[name] for name in COMPUTED_FEATURES}
            fields["extractor"] = rng.choice([EXTRACTOR, {**EXTRACTOR, "version": "0"}, EXTRACTOR | {"more": 1}, None])
        wrapped = rng.choice([{"aggregated_features": values}, values, {"aggregated_features": None, **values}])
        is_too_large = any(isinstance(one, int) and one > 2**63 for one in values.values())
        fields["features"] = json.dumps(wrapped) if is_too_large or rng.random() < 0.5 else wrapped
        yield {"_id": number, "plan_id": f"plan-{number}", **fields}


@pytest.mark.parametrize("seed", SEEDS)
def test_stored_features_are_parsed_as_one_by_one(seed: int):
    strange = Strange(seed)
    stored = spoiled(strange, list(stored_features(strange.rng)))
    asked = [f"plan-{number}" for number in range(PER_SEED + 1)]
    table = StoredFeatures()
    # Those without a fault in small answers, so that some of them are parsed together.
    for first in range(0, PER_SEED, 3):
        table.add(asked[first : first + 3], Found(stored[first : first + 3], "plan_id", asked, STORED_FIELDS, OPTIONS))
    table.add(asked[-1:], Found([], "plan_id", asked, STORED_FIELDS, OPTIONS))
    documents = [decode(one, OPTIONS) for one in stored]
    by_id = {one["plan_id"]: one for one in documents if type(one.get("plan_id")) is str}
    complete = 0
    for name, row in zip(asked, table.rows(asked).tolist(), strict=True):
        parsed = parse_stored(by_id.get(name))
        assert table.needs_ours[row] == needs_ours(by_id.get(name)), name
        assert table.is_complete[row] == (parsed is not None), name
        if parsed is not None:
            complete += 1
            np.testing.assert_array_equal(table.values[row], parsed)
    assert complete > PER_SEED / 30


@pytest.mark.parametrize("as_text", [False, True])
def test_usual_stored_features_are_not_decoded(as_text: bool, decoded: list[int]):  # noqa: FBT001
    values = dict.fromkeys(FEATURE_NAMES, 0.5)
    features = {"aggregated_features": values}
    usual = [{"plan_id": f"plan-{n}", "features": json.dumps(features) if as_text else features} for n in range(20)]
    ours = {"plan_id": "plan-20", "features": {"aggregated_features": {}}, "extractor": EXTRACTOR}
    asked = [f"plan-{number}" for number in range(21)]
    table = StoredFeatures()
    stored = [as_stored(one).raw for one in (*usual, ours)]
    table.add(asked, Found(stored, "plan_id", asked, STORED_FIELDS, OPTIONS))
    assert table.is_complete[table.rows(asked)].tolist() == [True] * 20 + [False]
    assert not table.needs_ours[table.rows(asked)].any()
    assert sum(decoded) == 0
