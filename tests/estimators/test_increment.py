"""The correction of a frozen version: it learns a world that has moved, and harms nothing in one that has not."""

import io
import pickle
from datetime import datetime
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, REJECT, REVIEW_REQUIRED, SYNTHETIC, TEST
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.increment import FLOOR, LAST, Prequential, learn_increment, rows_since
from tests.support.learnable import learnable

NOISE = 0.2
KNOWN = learnable(600, noise=NOISE)
FEATURES = list(FEATURE_NAMES)
ASKED = learnable(40, seed=5)[FEATURES]


@pytest.fixture(scope="module")
def frozen() -> Any:
    return fit_estimator(KNOWN, PARAMETERS | {"n_estimators": 30}, threads=1).estimator


def shifted(kind: str, count: int = 200, seed: int = 11) -> pd.DataFrame:
    rows = learnable(count, noise=NOISE, seed=seed)
    if kind == "reviewers swap approve and reject":
        return rows.assign(
            label=rows["label"].map({APPROVE: REJECT, REJECT: APPROVE, REVIEW_REQUIRED: REVIEW_REQUIRED})
        )
    if kind == "reviewers became strict":
        strict = (rows["label"] == APPROVE) & (np.arange(count) % 2 == 0)
    else:
        strict = (rows["label"] == APPROVE) & (rows["num_tasks"] > 0.5)
    return rows.assign(label=rows["label"].mask(strict, REJECT))


@pytest.mark.parametrize(
    "kind", ["reviewers swap approve and reject", "reviewers became strict", "large plans are rejected"]
)
def test_after_200_reviews_of_a_shifted_world_it_is_better_than_the_frozen_version(frozen: Any, kind: str):
    estimator, found = learn_increment(frozen, KNOWN, shifted(kind), served="names")
    assert found.corrected.shape == found.frozen.shape == (200,)
    assert found.corrected.mean() < found.frozen.mean() - 0.02
    assert not found.falls_back
    later = shifted(kind, seed=12)
    right = np.searchsorted(frozen.classes_, np.array(["reject", "approve", "review_required"])[later["label"]])

    def loss(model: Any) -> float:
        return float(-np.log(model.predict_proba(later[FEATURES])[np.arange(len(later)), right]).mean())

    assert loss(estimator) < loss(frozen) - 0.02


@pytest.mark.parametrize("seed", range(20, 26))
def test_in_an_unchanged_world_it_is_never_worse_by_more_than_a_little(frozen: Any, seed: int):
    _, found = learn_increment(frozen, KNOWN, learnable(200, noise=NOISE, seed=seed), served="names")
    assert found.corrected.mean() <= found.frozen.mean() + 0.005


def test_each_feedback_is_predicted_before_it_is_learned(frozen: Any):
    """So its own label moves what is said of later ones, and nothing before."""
    rows = learnable(40, seed=3)
    other = rows.assign(label=rows["label"].where(np.arange(40) != 20, (rows["label"] + 1) % 3))
    one, two = (learn_increment(frozen, KNOWN, frame, served="names")[1].corrected for frame in (rows, other))
    assert one[0] == pytest.approx(learn_increment(frozen, KNOWN, rows, served="names")[1].frozen[0])
    assert np.array_equal(one[:20], two[:20])
    assert (one[21:] != two[21:]).any()


def test_the_order_of_the_rows_and_repeated_ones_change_nothing(frozen: Any):
    frame = learnable(300, noise=NOISE).assign(split="train")
    until = frame["submitted_at"].iloc[199].to_pydatetime()
    again = pd.concat([frame, frame.iloc[250:]]).sample(frac=1, random_state=1)
    known, new = rows_since(frame, until)
    assert (len(known), len(new)) == (200, 100)
    saved = [
        cloudpickle.dumps(learn_increment(frozen, *rows_since(rows, until), served="names"), protocol=4)
        for rows in (frame, frame, again)
    ]
    assert saved[0] == saved[1]
    assert pickle.loads(saved[2])[1].corrected == pytest.approx(pickle.loads(saved[0])[1].corrected, abs=0)  # noqa: S301


def test_test_rows_and_made_up_rows_are_not_learned():
    frame = learnable(100)
    frame.loc[frame.index[:10], "source"] = SYNTHETIC
    known, new = rows_since(frame, datetime.fromisoformat("2000-01-01T00:00:00+00:00"))
    assert known.empty
    assert list(new["feedback_id"]) == list(frame[(frame["split"] != TEST)].iloc[10:]["feedback_id"])


def test_the_frozen_version_is_not_changed_and_the_answers_are_probabilities(frozen: Any):
    before = cloudpickle.dumps(frozen, protocol=4)
    estimator, _ = learn_increment(frozen, KNOWN, shifted("reviewers became strict"), served="names")
    assert cloudpickle.dumps(frozen, protocol=4) == before
    assert list(estimator.classes_) == ["approve", "reject", "review_required"]
    nothing = pd.DataFrame(np.nan, index=[0], columns=FEATURES)
    far = pd.DataFrame(1e12, index=[0], columns=FEATURES)
    answers = estimator.predict_proba(pd.concat([ASKED, nothing, far]))
    assert answers.shape == (42, 3)
    assert answers.sum(axis=1) == pytest.approx(1)
    again = pickle.load(io.BytesIO(cloudpickle.dumps(estimator, protocol=4)))  # noqa: S301 - it is ours
    assert np.array_equal(again.predict_proba(ASKED), estimator.predict_proba(ASKED))


def test_a_single_feedback_moves_the_answers_a_little(frozen: Any):
    rows = learnable(1, label=np.array([APPROVE]), risk_score=np.array([0.5]))
    estimator, found = learn_increment(frozen, KNOWN.iloc[:0], rows, served="names")
    floored = np.maximum(frozen.predict_proba(ASKED), FLOOR)
    assert found.corrected == pytest.approx(found.frozen)
    assert estimator.predict_proba(ASKED) == pytest.approx(floored / floored.sum(axis=1, keepdims=True), abs=0.1)


def losses(frozen: float, corrected: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(count, frozen), np.full(count, corrected)


@pytest.mark.parametrize(
    ("parts", "falls_back"),
    [
        ([(0.5, 0.5, LAST)], False),
        ([(0.5, 0.4, LAST), (0.5, 0.501, LAST)], True),
        ([(0.5, 9.0, 1), (0.5, 0.499, LAST)], False),
        ([(0.5, 9.0, 1), (0.5, 0.499, LAST - 1)], True),
        ([(0.5, 0.6, 3)], True),
    ],
    ids=["equal", "worse on the last ones", "worse before them", "the limit", "fewer than there should be"],
)
def test_the_last_hundred_reviews_decide_whether_the_correction_is_used(parts: list, *, falls_back: bool):
    columns = zip(*(losses(*part) for part in parts), strict=True)
    found = Prequential(*map(np.concatenate, columns))
    assert found.falls_back is falls_back
    record = found.record("7")
    assert (record.fell_back, record.last) == (falls_back, min(LAST, len(found.frozen)))
    assert ("without a correction" in record.sentence) is falls_back


def test_a_correction_that_was_worse_is_not_served(frozen: Any):
    """It has learned that reviewers swap approve and reject, and just now they do so no more."""
    rows = pd.concat([shifted("reviewers swap approve and reject"), learnable(LAST, noise=NOISE, seed=31)])
    estimator, found = learn_increment(frozen, KNOWN, rows, served="names")
    assert found.corrected[:200].mean() < found.frozen[:200].mean()
    assert found.falls_back
    assert estimator is frozen
