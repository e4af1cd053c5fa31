"""The rules that a dataset must meet before training: every check, passed and failed."""

from datetime import timedelta

import pandas as pd
import pytest

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES
from nhm_assets.feedback.dataset_rules import BLOCKING, DESCRIPTIONS, QualityRules, judge_dataset
from nhm_assets.feedback.splits import temporal_split
from tests.support.frames import dataset, newest

RULES = QualityRules(min_real_samples=20, max_feedback_age_days=7, max_rejected_fraction=0.05)


def verdicts(frame: pd.DataFrame) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in judge_dataset(frame, RULES)}


def failed(frame: pd.DataFrame) -> list[str]:
    return [verdict.check for verdict in judge_dataset(frame, RULES) if not verdict.passed]


def quarantined(**reasons: int) -> pd.DataFrame:
    frame = dataset(95)
    frame.attrs["quarantined"] = reasons
    return frame


def test_a_good_dataset_passes_every_check():
    judged = verdicts(dataset())
    assert list(judged) == list(DESCRIPTIONS)
    assert failed(dataset()) == []


def test_the_blocking_checks_are_those_of_the_contract():
    assert set(BLOCKING) == {"schema_conforms", "no_leakage"}
    warning = {check for check, verdict in verdicts(dataset()).items() if verdict.warns_only}
    assert warning == set(DESCRIPTIONS) - set(BLOCKING) - {"enough_samples", "class_coverage"}


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"human_rating": 2.0}, id="a rating above 1"),
        pytest.param({"risk_score": float("nan")}, id="a feature that is NaN"),
        pytest.param({"label": 7}, id="an unknown class"),
        pytest.param({"label": ["approve"] * 20}, id="classes by name"),
        pytest.param({"submitted_at": ["2026-03-01"] * 20}, id="times as strings"),
        pytest.param({"split": None}, id="no split"),
    ],
)
def test_rows_that_do_not_match_the_schema_fail(columns: dict):
    judged = verdicts(dataset(**columns))
    assert list(judged) == list(DESCRIPTIONS)
    assert not judged["schema_conforms"].passed


def test_without_the_columns_nothing_else_can_be_judged():
    assert failed(dataset().drop(columns="label")) == list(DESCRIPTIONS)


def test_one_row_too_few_fails_and_says_what_to_do():
    assert failed(dataset(19)) == ["enough_samples"]
    reason = verdicts(dataset(19))["enough_samples"].reason
    assert reason.startswith("Too few samples: 19 rows, 1 fewer than the required 20")
    assert "2026-02-06" in reason
    for remedy in ("FEEDBACK_WINDOW_DAYS", "MIN_REAL_SAMPLES", "ALLOW_SYNTHETIC_FALLBACK"):
        assert remedy in reason


def test_synthetic_rows_count_as_samples():
    assert "enough_samples" not in failed(dataset(source=["real", "synthetic"] * 10))


def test_an_empty_dataset_fails():
    assert failed(dataset(0)) == ["enough_samples", "class_coverage", "feedback_fresh"]


def labelled(learned: list[int], tested: int) -> pd.DataFrame:
    """Seventeen rows to learn from, which repeat these classes, and three rows to test on."""
    return dataset(label=[*(learned * 17)[:17], *[tested] * 3])


@pytest.mark.parametrize("learned", [[1, 0], [1, 2], [0, 1, 2]])
def test_approve_and_another_class_are_enough_to_learn_from(learned: list[int]):
    assert failed(labelled(learned, tested=1)) == []


@pytest.mark.parametrize(
    ("learned", "tested"),
    [
        pytest.param([1], 1, id="all approve"),
        pytest.param([0], 0, id="all reject"),
        pytest.param([1], 0, id="another class only in test"),
        pytest.param([0, 2], 1, id="approve only in test"),
    ],
)
def test_fewer_classes_are_not_enough(learned: list[int], tested: int):
    assert failed(labelled(learned, tested)) == ["class_coverage"]


def test_validation_rows_are_learned_from_too():
    frame = labelled([1] * 14 + [0] * 3, tested=1)
    assert set(frame.loc[frame["label"] == 0, "split"]) == {"validation"}
    assert failed(frame) == []


def test_a_plan_in_two_splits_is_leakage():
    plans = dataset()["plan_id"].tolist()
    leaking = dataset(plan_id=[*plans[:-1], plans[0]])
    assert failed(leaking) == ["no_leakage"]
    assert "plan-0000" in verdicts(leaking)["no_leakage"].reason
    assert failed(dataset(plan_id=[plans[1], *plans[1:]])) == []


def test_a_feature_that_equals_the_label_is_leakage():
    labels = dataset()["label"].astype("float64")
    leaking = dataset(risk_score=labels)
    assert failed(leaking) == ["no_leakage"]
    assert "risk_score" in verdicts(leaking)["no_leakage"].reason
    assert failed(dataset(risk_score=labels.where(labels.index != 4, 0.5))) == []


def test_a_constant_feature_is_no_leakage_if_all_labels_are_equal():
    """class_coverage reports a single class; a constant factor of 1.0 is no sign of leakage."""
    assert failed(dataset(label=1, avg_task_complexity_factor=1.0)) == ["class_coverage"]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(days=7), []),
        (timedelta(days=7, minutes=1), ["feedback_fresh"]),
        (timedelta(days=20), ["feedback_fresh"]),
    ],
)
def test_feedback_older_than_allowed_at_the_window_s_end_is_stale(age: timedelta, expected: list[str]):
    assert failed(newest(age)) == expected


def test_synthetic_rows_do_not_make_feedback_fresh():
    """They are spread over the whole window, but nobody gave that feedback."""
    assert "feedback_fresh" not in failed(dataset(source=["synthetic"] * 15 + ["real"] * 5))
    assert "feedback_fresh" in failed(dataset(source=["real"] * 5 + ["synthetic"] * 15))
    assert failed(dataset(source="synthetic")) == ["feedback_fresh"]


def test_too_many_rejected_documents_give_a_warning_with_the_reasons():
    assert failed(quarantined(invalid_rating=2, missing_plan=3)) == []
    verdict = verdicts(quarantined(invalid_rating=2, missing_plan=4))["few_rejected_documents"]
    assert not verdict.passed
    assert verdict.warns_only
    assert {"invalid_rating": 2, "missing_plan": 4}.items() <= verdict.figures.items()


def test_the_fraction_of_rejected_documents_ignores_synthetic_rows():
    frame = dataset(95, source=["real"] * 45 + ["synthetic"] * 50)
    frame.attrs["quarantined"] = {"invalid_rating": 5}
    assert verdicts(frame)["few_rejected_documents"].figures["fraction"] == pytest.approx(0.1)


def provenance(people: int, scripts: int, *, left_out: int = 0, told: float | None = None) -> pd.DataFrame:
    """Rows by people and scripts, and documents by scripts that were left out."""
    frame = dataset(people + scripts, provenance=["reviewer", "approval"] * (people // 2) + ["scripted"] * scripts)
    frame.attrs |= {"scripted": scripts + left_out, "told_by_scores": told}
    return frame


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(provenance(20, 0, left_out=21), "scripts made 51.2% of it, allowed 50%", id="mostly by scripts"),
        pytest.param(provenance(20, 1), "1 rows were made by scripts (INCLUDE_SCRIPTED_FEEDBACK)", id="learned from"),
        pytest.param(provenance(20, 0, told=0.95), "own scores tell 95.0% of the labels", id="told by scores"),
    ],
)
def test_feedback_that_is_not_only_peoples_gives_a_warning(frame: pd.DataFrame, reason: str):
    assert failed(frame) == ["human_feedback"]
    verdict = verdicts(frame)["human_feedback"]
    assert verdict.reason.startswith("The feedback is not only people's: ")
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "frame", [provenance(20, 0, left_out=20), provenance(20, 0, told=0.949), dataset(20, provenance="none")]
)
def test_feedback_by_people_passes(frame: pd.DataFrame):
    assert failed(frame) == []


def test_too_few_samples_name_what_scripts_made():
    frame = provenance(18, 0, left_out=3)
    assert "3 documents that scripts made do not count" in verdicts(frame)["enough_samples"].reason
    assert "scripts" not in verdicts(dataset(19))["enough_samples"].reason


def sharing(count: int, shared: int) -> pd.DataFrame:
    """Rows of which every other one of the newest, `shared` in all, is about the same plan."""
    plans = pd.Series([f"plan-{number:04}" for number in range(count)], dtype="object")
    plans[list(range(count - 1, -1, -2))[:shared]] = "unknown-plan"
    return dataset(count, plan_id=plans, split=temporal_split(plans))


def test_a_placeholder_plan_id_that_distorts_the_split_gives_a_warning():
    """Half of the rows under one id: test had 57 % of them, and nothing said so."""
    frame = sharing(400, 200)
    assert failed(frame) == ["split_shares"]
    verdict = verdicts(frame)["split_shares"]
    assert verdict.reason.startswith("The split is distorted: train 35%, validation 8%, test 57%")
    assert "plan unknown-plan alone has 200 of 400 rows" in verdict.reason


def test_some_shared_plans_do_not_distort_the_split():
    assert failed(sharing(400, 50)) == []
    assert verdicts(dataset(400))["split_shares"].reason == (
        "The split is as intended: train 70%, validation 15%, test 15%."
    )


def test_synthetic_rows_which_all_train_do_not_distort_the_split():
    """The same rows would, if they were all real."""
    source = ["synthetic"] * 200 + ["real"] * 200
    plans = pd.Series([f"plan-{number:04}" for number in range(400)])
    split = ["train"] * 200 + temporal_split(plans[200:]).tolist()
    assert failed(dataset(400, source=source, split=split)) == []
    assert failed(dataset(400, split=split)) == ["split_shares"]


def with_computed_features(learned: int, tested: int = 0) -> pd.DataFrame:
    """Forty rows, of which the first 34 are learned; so many of these, and of the test rows, have no embeddings."""
    computed = [number < learned or 34 <= number < 34 + tested for number in range(40)]
    return dataset(40, **{name: [float("nan") if one else 1.0 for one in computed] for name in EMBEDDING_FEATURES})


def test_mostly_computed_features_give_a_warning():
    frame = with_computed_features(18)
    assert failed(frame) == ["features_as_served"]
    verdict = verdicts(frame)["features_as_served"]
    assert verdict.reason.startswith(
        "Most features are computed. Of the rows to learn from, specialists stored the features of 47.1%"
    )
    assert "FEATURES_COLLECTION" in verdict.reason


def test_half_of_the_features_are_enough_and_test_rows_do_not_count():
    assert failed(with_computed_features(17, tested=6)) == []
    assert verdicts(with_computed_features(17))["features_as_served"].figures == {"stored_share": 0.5}
