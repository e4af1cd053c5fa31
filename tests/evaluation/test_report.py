"""The report: computed on exactly the test rows of the dataset that the model was trained on."""

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, LLM, SYNTHETIC, TEST, TRAIN, data_version
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import ForeignChampion
from nhm_assets.evaluation.champion import ScoredChampion
from nhm_assets.evaluation.metrics import baseline_f1, compute_metrics, intervals, mcnemar
from nhm_assets.evaluation.report import baseline_rows, build_report, held_out_rows
from tests.support.documents import WEEK
from tests.support.learnable import learnable
from tests.support.reports import trained_model

IMPORTANCES = dict.fromkeys(FEATURE_NAMES, 0.0)


@pytest.fixture(scope="module")
def frame():
    return learnable(200)


@pytest.fixture(scope="module")
def tested(frame):
    return frame[frame["split"] == TEST]


def trained_on(frame, **changes):
    return trained_model(data_version=data_version(frame), **changes)


def probabilities(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([1, 1, 1], count)


def test_the_held_out_rows_are_the_test_rows_in_their_order(frame, tested):
    rows = held_out_rows(frame, trained_on(frame))
    assert list(rows["feedback_id"]) == list(tested["feedback_id"])
    assert list(rows.index) == list(range(30))


def test_a_dataset_rebuilt_after_the_training_is_refused_and_the_error_names_the_remedy(frame):
    changed = frame.copy()
    changed.loc[0, "label"] = (changed.loc[0, "label"] + 1) % 3
    with pytest.raises(DataError) as error:
        held_out_rows(changed, trained_on(frame))
    for part in (data_version(frame), data_version(changed), f"technical {WEEK}", "Materialize trained_model"):
        assert part in str(error.value)


def test_a_dataset_without_test_rows_is_refused(frame):
    learned = frame.assign(split=TRAIN)
    with pytest.raises(DataError, match="no test rows"):
        held_out_rows(learned, trained_on(learned))


def test_a_report_evaluates_the_candidate_on_the_test_rows(frame, tested):
    given = probabilities(len(tested), 1)
    made = build_report(frame, trained_on(frame, version="5"), given, importances=IMPORTANCES, champion=None)
    labels = tested["label"].to_numpy()
    assert (made.version, made.champion, made.compared_with) == ("5", None, None)
    assert (made.test_rows, made.test_approvals) == (30, int((labels == APPROVE).sum()))
    assert made.candidate == compute_metrics(labels, given)
    assert made.intervals == intervals(labels, given, plans=tested["plan_id"].to_numpy())[0]
    assert made.baseline_f1 == baseline_f1(frame[frame["split"] != TEST], tested)
    assert made.synthetic_test is False


def test_a_report_evaluates_the_champion_on_the_same_rows(frame, tested):
    given, champions = probabilities(len(tested), 1), probabilities(len(tested), 2)
    labels = tested["label"].to_numpy()
    scored = ScoredChampion("3", champions, None)
    report = build_report(frame, trained_on(frame), given, importances=IMPORTANCES, champion=scored)
    assert report.compared_with == "3"
    made = report.champion
    assert (made.version, made.metrics) == ("3", compute_metrics(labels, champions))
    counts = (made.comparison.only_candidate_right, made.comparison.only_champion_right, made.comparison.mcnemar_p)
    assert counts == mcnemar(labels, given, champions)
    assert made.comparison.differences == intervals(labels, given, champions, plans=tested["plan_id"].to_numpy())[1]


def test_the_intervals_resample_plans():
    frame = learnable(200)
    given = probabilities(30, 1)
    widths = []
    for shared in (False, True):
        plans = np.where((frame["split"] == TEST) & shared, "plan-of-all-tests", frame["plan_id"])
        one = frame.assign(plan_id=plans)
        made = build_report(one, trained_on(one), given, importances=IMPORTANCES, champion=None)
        widths.append(made.intervals["f1"].high - made.intervals["f1"].low)
    assert widths[0] > 0.1
    assert widths[1] == 0


def test_a_foreign_champion_is_named_and_compared_only_if_it_could_be_scored(frame):
    given, champions = probabilities(30, 1), probabilities(30, 2)
    for scored in (None, champions):
        champion = ScoredChampion("3", scored, "it answers labels")
        made = build_report(frame, trained_on(frame), given, importances=IMPORTANCES, champion=champion)
        assert made.foreign_champion == ForeignChampion(version="3", reason="it answers labels")
        assert made.compared_with == "3"
        assert (made.champion is None) == (scored is None)


def test_the_prior_brier_score_uses_the_class_frequencies_of_the_training_rows():
    """Probabilities 1/2, 1/2 and 0; each test row is an approval: (1/2)² + (1/2 - 1)² + 0² = 1/2."""
    frame = learnable(200, label=[0, 1] * 85 + [APPROVE] * 30)
    made = build_report(frame, trained_on(frame), probabilities(30, 1), importances=IMPORTANCES, champion=None)
    assert made.prior_brier == pytest.approx(0.5)


def test_rows_by_scripts_are_counted_in_all_splits(frame):
    mixed = frame.assign(provenance=["scripted", "reviewer"] * (len(frame) // 2))
    made = build_report(mixed, trained_on(mixed), probabilities(30, 1), importances=IMPORTANCES, champion=None)
    assert made.scripted_rows == len(frame) // 2


def test_rows_of_a_language_model_are_counted(frame):
    mixed = frame.assign(source=np.where(frame.index < 5, LLM, frame["source"]))
    made = build_report(mixed, trained_on(mixed), probabilities(30, 1), importances=IMPORTANCES, champion=None)
    assert made.llm_rows == 5


def test_rows_of_a_language_model_do_not_move_what_a_candidate_must_beat(frame):
    made_up = frame[frame["split"] == TRAIN].assign(source=LLM, label=APPROVE)
    mixed = pd.concat([frame, made_up], ignore_index=True)
    for name in ("baseline_f1", "prior_brier"):
        with_them, without = (
            getattr(
                build_report(one, trained_on(one), probabilities(30, 1), importances=IMPORTANCES, champion=None), name
            )
            for one in (mixed, frame)
        )
        assert with_them == without
    pd.testing.assert_frame_equal(baseline_rows(mixed), frame[frame["split"] != TEST])


def test_of_an_increment_rows_of_its_frozen_version_count_too(frame):
    """It passes their answers on. A feedback that is in both datasets counts once."""
    made_up = frame.assign(feedback_id=[f"older-{number}" for number in frame.index])
    made_up.loc[made_up.index < 7, "source"] = LLM
    made_up.loc[made_up.index >= 190, "provenance"] = "scripted"
    for frozen, expected in ((made_up, (7, 10)), (made_up.assign(feedback_id=frame["feedback_id"]), (0, 0))):
        made = build_report(
            frame,
            trained_on(frame),
            probabilities(30, 1),
            importances=IMPORTANCES,
            champion=None,
            frozen_rows=frozen,
        )
        assert (made.llm_rows, made.scripted_rows) == expected


def test_synthetic_test_rows_are_distinguished_from_synthetic_training_rows(frame):
    for split, expected in ((TEST, True), (TRAIN, False)):
        mixed = frame.assign(source=np.where(frame["split"] == split, SYNTHETIC, frame["source"]))
        made = build_report(mixed, trained_on(mixed), probabilities(30, 1), importances=IMPORTANCES, champion=None)
        assert made.synthetic_test is expected
