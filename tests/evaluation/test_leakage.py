"""Nobody is judged by rows that it has learned: leakage that is provoked on purpose is caught or left out, and said."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry.model_version_tag import ModelVersionTag

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, TEST, data_version
from nhm_assets.domain.fold_records import Fold
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.domain.segments import segments_of
from nhm_assets.evaluation.champion import ScoredChampion
from nhm_assets.evaluation.folds import asked_rows
from nhm_assets.evaluation.gate import judge
from nhm_assets.evaluation.learned import UNKNOWN, Learned, learned_by
from nhm_assets.evaluation.pooling import pool, with_comparison, with_folds
from nhm_assets.evaluation.report import build_report, held_out_rows
from nhm_assets.feedback.splits import temporal_split
from resources.storage import FrameIOManager
from tests.support.documents import WEEK, WEEK_END
from tests.support.learnable import learnable
from tests.support.reports import RULES, trained_model

FRAME = learnable(1200)
"""180 test rows, and as many in the segment of each fold."""
LONG_AGO = FRAME["submitted_at"].min().to_pydatetime() - timedelta(days=1)
KNOWN = Learned(LONG_AGO, "dataset")


def answers(rows: pd.DataFrame, wrong: np.ndarray) -> np.ndarray:
    """Probabilities of a model that is sure, and wrong about approve in these rows only."""
    labels = rows["label"].to_numpy()
    named = np.where(wrong, np.where(labels == APPROVE, 0, APPROVE), labels)
    return np.eye(len(CLASS_NAMES))[named]


def every(number: int, rows: pd.DataFrame) -> np.ndarray:
    return np.arange(len(rows)) % number == 0


def evaluated(
    frame: pd.DataFrame, learned: Learned, champion_wrong: np.ndarray, *, candidate_every: int = 8
) -> EvaluationReport:
    """The report on a candidate that is wrong in every so many rows, and a champion that is wrong in these ones."""
    asked = asked_rows(frame, 2)
    candidate_wrong = every(candidate_every, asked)
    test = (asked["split"] == TEST).to_numpy()
    candidate = answers(asked, candidate_wrong)
    champion = ScoredChampion("7", answers(asked, champion_wrong), None, learned)
    trained = trained_model(data_version=data_version(frame))
    made = build_report(frame, trained, candidate[test], importances={}, champion=champion, asked=asked)
    segments = segments_of(frame)
    folds = [
        Fold(number=number, learned_rows=int((segments < number).sum()), tested_rows=int((segments == number).sum()))
        for number in (1, 2)
    ]
    predicted = {number: candidate[asked["segment"] == number].argmax(axis=1) for number in (1, 2)}
    rows = pool(asked, candidate[test], predicted, champion)
    return with_comparison(with_folds(made, rows, folds, None), rows, RULES)[0]


def verdicts(report: EvaluationReport) -> dict[str, Any]:
    return {verdict.check: verdict for verdict in judge(report, replace(RULES, reference_weeks=0))}


def test_a_champion_that_is_better_on_rows_that_it_has_learned_and_equal_elsewhere_holds_nobody():
    """60 of the test rows are of plans that the champion has learned. On these alone it is never wrong."""
    asked = asked_rows(FRAME, 2)
    known = frozenset(asked["plan_id"][-60:])
    wrong = every(8, asked) & ~asked["plan_id"].isin(known).to_numpy()
    leaking, fair = evaluated(FRAME, KNOWN, wrong), evaluated(FRAME, replace(KNOWN, plans=known), wrong)
    assert leaking.champion.metrics.f1 > leaking.candidate.f1 + 0.03
    assert not verdicts(leaking)["not_worse_than_production"].passed
    assert not verdicts(leaking)["not_worse_on_folds"].passed
    assert (fair.new_rows.test.rows, fair.new_rows.test.left_out) == (120, 60)
    assert (fair.fair_rows, fair.difference) == (480, 0.0)
    found = verdicts(fair)
    assert found["not_worse_on_folds"].passed
    assert found["not_worse_than_production"].passed
    assert "on the 120 test rows that are new to it (60 are left out: it has learned them or their plans)" in (
        found["not_worse_than_production"].reason
    )


def test_a_champion_that_is_better_on_new_rows_holds_the_candidate_whatever_else_it_has_learned():
    asked = asked_rows(FRAME, 2)
    known = frozenset(asked["plan_id"][-60:])
    wrong = every(8, asked) & asked["plan_id"].isin(known).to_numpy()
    found = verdicts(evaluated(FRAME, replace(KNOWN, plans=known), wrong))
    assert not found["not_worse_than_production"].passed
    assert not found["not_worse_on_folds"].passed


def test_test_rows_that_the_champion_learned_are_left_out_by_their_time():
    asked = asked_rows(FRAME, 2)
    until = asked["submitted_at"].iloc[-121].to_pydatetime()
    report = evaluated(FRAME, Learned(until, "dataset"), every(8, asked))
    assert (report.new_rows.test.rows, report.new_rows.test.left_out) == (120, 60)
    assert report.new_rows.pooled.rows == report.fair_rows == 120
    assert report.compared_on == "new"


def test_a_plan_that_recurs_in_later_rows_is_left_out_though_its_time_is_new():
    """Its newest row makes it a test row; an older row of it was in the window of the champion."""
    plans = FRAME["plan_id"].copy()
    plans.iloc[-40:] = plans.iloc[:40].to_numpy()
    frame = FRAME.assign(plan_id=plans, split=temporal_split(plans))
    until = frame["submitted_at"].iloc[100].to_pydatetime()
    new = Learned(until, "tag").is_new(frame)
    assert not new[:101].any()
    assert not new[-40:].any()
    assert new[101:-40].all()


def test_an_opinion_that_was_reviewed_again_is_left_out_though_its_feedback_is_new(tmp_path: Path):
    """The newer feedback took the place of the one that the champion learned, so only its dataset tells."""
    learned = learnable(100, seed=5, plan_id=[f"plan-{number:04}" for number in range(1100, 1200)])
    FrameIOManager(str(tmp_path)).store(learned, "feedback_dataset", "technical", WEEK)
    champion = version(learned, learned_until=LONG_AGO)
    found = learned_by(champion, str(tmp_path), candidate_end=WEEK_END)
    assert (found.by, found.until) == ("dataset", LONG_AGO)
    reviewed_again = set(learned.loc[learned["split"] != TEST, "plan_id"])
    assert len(reviewed_again) == 85
    new = found.is_new(FRAME)
    assert list(new) == [plan not in reviewed_again for plan in FRAME["plan_id"]]
    assert Learned(LONG_AGO, "tag").is_new(FRAME).all()


def test_an_increment_has_learned_what_its_frozen_version_has_learned(tmp_path: Path):
    """A champion that is one is not asked about the plans of either."""
    older = learnable(100, seed=5, plan_id=[f"plan-{number:04}" for number in range(100)])
    newer = learnable(100, seed=6, plan_id=[f"plan-{number:04}" for number in range(100, 200)])
    for frame in (older, newer):
        FrameIOManager(str(tmp_path)).store(frame, "feedback_dataset", "technical", WEEK)
    full, increment = (version(frame, learned_until=LONG_AGO) for frame in (older, newer))
    alone = learned_by(increment, str(tmp_path), candidate_end=WEEK_END).plans
    both = learned_by(increment, str(tmp_path), candidate_end=WEEK_END, frozen=full).plans
    assert (len(alone), len(both)) == (85, 170)
    assert both > alone


def test_an_increment_is_not_judged_by_rows_that_its_frozen_version_has_learned():
    """A plan that was reviewed again has moved to the test rows, and the frozen version knows it."""
    fair = pd.Series(np.arange(len(FRAME)) % 3 > 0, index=FRAME.index)
    trained = trained_model(data_version=data_version(FRAME))
    test = FRAME[FRAME["split"] == TEST]
    expected = list(test[fair[test.index]]["feedback_id"])
    assert len(expected) == 120
    assert list(held_out_rows(FRAME, trained, fair=fair)["feedback_id"]) == expected
    answered = answers(test[fair[test.index]], every(8, test[fair[test.index]]))
    asked = asked_rows(FRAME[fair], 2)
    assert list(asked[asked["split"] == TEST]["feedback_id"]) == expected
    champion = ScoredChampion("7", answers(asked, every(8, asked)), None, KNOWN)
    report = build_report(FRAME, trained, answered, importances={}, champion=champion, asked=asked, fair=fair)
    assert report.test_rows == 120


def test_a_backfilled_week_under_a_newer_champion_is_not_compared_and_the_sentence_says_why():
    learned = Learned(FRAME["submitted_at"].max().to_pydatetime() + timedelta(days=3), "dataset", newer=True)
    report = evaluated(FRAME, learned, np.zeros(540, dtype="bool"))
    assert report.difference is None
    found = verdicts(report)
    assert found["not_worse_than_production"].reason == (
        "Not compared: only 0 of 180 test rows are new to the champion (version 7), which learned from a newer window."
        " The candidate is superseded anyway."
    )
    assert found["not_worse_on_folds"].reason == (
        "Too few rows are new to the champion (version 7) to compare. It learned from a newer window, so the candidate"
        " is superseded anyway."
    )
    assert found["not_worse_than_production"].passed
    assert found["not_worse_on_folds"].passed


def test_too_few_new_rows_of_a_champion_that_is_not_newer_are_no_way_around_the_comparison():
    learned = Learned(FRAME["submitted_at"].max().to_pydatetime(), "window")
    report = evaluated(FRAME, learned, np.zeros(540, dtype="bool"))
    assert (report.compared_on, report.fair_rows) == ("test", 180)
    found = verdicts(report)
    assert not found["not_worse_than_production"].passed
    assert not found["not_worse_on_folds"].passed
    assert "because only 0 of 180 test rows are new to the champion" in found["not_worse_than_production"].reason
    assert "so all rows of its window count as learned" in found["not_worse_on_folds"].reason


def test_of_a_champion_of_which_nothing_is_known_the_test_rows_are_compared():
    report = evaluated(FRAME, UNKNOWN, every(8, asked_rows(FRAME, 2)))
    assert report.new_rows.test is None
    assert (report.new_rows.pooled.rows, report.fair_rows, report.difference) == (180, 180, 0.0)


def test_a_feature_that_is_the_label_is_caught():
    leaking = FRAME.assign(risk_score=FRAME["label"] / 2)
    report = evaluated(leaking, KNOWN, np.zeros(540, dtype="bool"), candidate_every=1000)
    found = verdicts(report)["plausible"]
    assert not found.passed
    assert found.reason.startswith("F1 1.000 is suspicious")


def version(frame: pd.DataFrame, *, learned_until: Any = None, **tags: str) -> ModelVersion:
    """A version that learned these rows."""
    known = {
        "nhm.partition": str(Partition.parse(WEEK, "technical").key),
        "nhm.data_version": data_version(frame),
        "nhm.window_end": WEEK_END.isoformat(),
    }
    if learned_until:
        known["nhm.learned_until"] = learned_until.isoformat()
    entries = [ModelVersionTag(name, value) for name, value in (known | tags).items()]
    return ModelVersion("technical-evaluator", "7", creation_timestamp=0, tags=entries)


@pytest.mark.parametrize(
    ("tags", "by"),
    [
        ({}, "dataset"),
        ({"nhm.data_version": "another"}, "tag"),
        ({"nhm.partition": "business|2026-03-01"}, "tag"),
        ({"nhm.partition": "nobody"}, "tag"),
        ({"nhm.learned_until": "soon"}, "window"),
        ({"nhm.learned_until": "soon", "nhm.window_end": ""}, "nothing"),
    ],
)
def test_what_a_version_has_learned_is_known_by_its_dataset_its_tag_its_window_or_not_at_all(
    tmp_path: Path, tags: dict[str, str], by: str
):
    FrameIOManager(str(tmp_path)).store(FRAME, "feedback_dataset", "technical", WEEK)
    FrameIOManager(str(tmp_path)).store(learnable(30), "feedback_dataset", "technical", WEEK)
    found = learned_by(version(FRAME, learned_until=LONG_AGO, **tags), str(tmp_path), candidate_end=WEEK_END)
    assert found.by == by
    assert found.until == {"window": WEEK_END, "nothing": None}.get(by, LONG_AGO)
    assert found.newer is False
    earlier = WEEK_END - timedelta(days=1)
    assert learned_by(version(FRAME), str(tmp_path), candidate_end=earlier).newer is True


def test_a_damaged_dataset_is_not_believed(tmp_path: Path):
    FrameIOManager(str(tmp_path)).store(FRAME, "feedback_dataset", "technical", WEEK)
    (file,) = tmp_path.glob("feedback_dataset/technical/*/*.parquet")
    file.write_bytes(file.read_bytes() + b"more")
    assert learned_by(version(FRAME, learned_until=LONG_AGO), str(tmp_path), candidate_end=WEEK_END).by == "tag"
    assert learned_by(version(FRAME, learned_until=LONG_AGO), str(tmp_path / "no"), candidate_end=WEEK_END).by == "tag"
