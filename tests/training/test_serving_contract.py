"""The checks on `trained_model`, on versions in a registry."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, FEATURE_NAMES, REJECT, REVIEW_REQUIRED, TEST
from nhm_assets.estimators.families import FAMILIES, named
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.training import pod_limits
from nhm_assets.training.pod_limits import FITS, IN_TIME, LARGEST_MB, Load, judge_load
from nhm_assets.training.served_answers import Answers, as_sent, read
from nhm_assets.training.serving_contract import BLOCKING, DESCRIPTIONS, judge_version
from tests.support.learnable import learnable
from tests.support.versions import FEW_TREES, MODEL, Versions, feature_signature, small_forest


@pytest.fixture(scope="module")
def forest():
    return small_forest()


READ = "serves_as_specialists_read_it"


def judged(versions: Versions, version: str, **changes: Any) -> dict[str, Verdict]:
    asked = {"frame": learnable(seed=2), "served": "names"} | changes
    found = judge_version(versions.client, versions.log, MODEL, version, **asked)
    assert [verdict.check for verdict in found] == list(DESCRIPTIONS)
    return {verdict.check: verdict for verdict in found}


def failed(versions: Versions, version: str, **changes: Any) -> list[str]:
    return [name for name, verdict in judged(versions, version, **changes).items() if not verdict.passed]


def test_a_version_as_the_specialists_load_it_passes(versions, forest):
    assert failed(versions, versions.add(forest)) == []


@pytest.mark.parametrize(
    "signature",
    [
        None,
        feature_signature(kind="float"),
        feature_signature(FEATURE_NAMES[::-1]),
        feature_signature(FEATURE_NAMES[:-1]),
        feature_signature((*FEATURE_NAMES, "human_rating")),
    ],
    ids=["no signature", "floats", "another order", "a feature less", "a column more"],
)
def test_a_signature_without_the_26_doubles_in_order_fails(versions, forest, signature):
    assert "signature_matches_features" in failed(versions, versions.add(forest, signature=signature))


def test_without_a_signature_nothing_selects_and_orders_the_columns_that_the_specialists_send(versions, forest):
    version = versions.add(forest, signature=None)
    assert failed(versions, version) == ["signature_matches_features", READ, IN_TIME]
    assert "feature names" in judged(versions, version)[READ].reason


def test_a_format_that_the_specialists_do_not_read_fails(versions, forest):
    version = versions.add(forest, serialization_format="pickle")
    verdict = judged(versions, version)["sklearn_compatible"]
    assert failed(versions, version) == ["sklearn_compatible"]
    assert verdict.figures["format"] == "pickle"


def test_a_scikit_learn_version_that_the_specialists_do_not_run_fails(versions, forest):
    version = versions.add(forest)
    mlmodel = versions.files(version) / "MLmodel"
    mlmodel.write_text(mlmodel.read_text().replace("sklearn_version: 1.5.2", "sklearn_version: 1.6.0"))
    assert failed(versions, version) == ["sklearn_compatible"]


def test_a_model_that_predicts_classes_instead_of_probabilities_fails(versions, forest):
    version = versions.add(forest, pyfunc_predict_fn="predict")
    assert failed(versions, version) == ["loads_as_pyfunc", READ]
    assert "confidence 0.500 against 0.500" in judged(versions, version)[READ].reason


def test_a_model_of_two_classes_fails(versions):
    rows = learnable(classes=(0, 1))
    two = RandomForestClassifier(n_estimators=3).fit(rows[list(FEATURE_NAMES)], rows["label"])
    version = versions.add(two)
    assert failed(versions, version) == ["loads_as_pyfunc", READ]
    assert "(3, 2)" in judged(versions, version)["loads_as_pyfunc"].reason


def test_a_model_that_does_not_accept_missing_embeddings_fails(versions):
    rows = learnable().fillna(0.0)
    strict = GradientBoostingClassifier(n_estimators=2).fit(rows[list(FEATURE_NAMES)], rows["label"])
    version = versions.add(strict)
    # It also keeps a random generator, which numpy 1.26 cannot load.
    assert failed(versions, version) == [FITS, "loads_as_pyfunc", READ]
    assert "NaN" in judged(versions, version)["loads_as_pyfunc"].reason


def test_a_version_with_a_replaced_file_fails_every_check_without_being_loaded(versions, forest):
    version = versions.add(forest)
    (versions.files(version) / "model.pkl").write_bytes(b"not even a pickle")
    found = judged(versions, version)
    assert failed(versions, version) == list(DESCRIPTIONS)
    assert all("was replaced" in verdict.reason for verdict in found.values())


def test_a_version_that_the_platform_did_not_register_fails_every_check(versions, forest):
    version = versions.add(forest, verified=False)
    assert failed(versions, version) == list(DESCRIPTIONS)


def test_probabilities_that_do_not_sum_to_one_fail(versions):
    rows = learnable()
    overconfident = Overconfident(strategy="prior").fit(rows[list(FEATURE_NAMES)], rows["label"])
    assert failed(versions, versions.add(overconfident)) == [FITS, "loads_as_pyfunc", READ]


def test_a_version_that_answers_in_another_order_fails(versions):
    """Read by position, a good plan got confidence .01 and risk .92."""
    rows = learnable()
    codes = versions.add(fit_model(rows, FEW_TREES, threads=1, served="codes"))
    assert failed(versions, codes) == [READ]
    assert "Read by position (approve, reject, review_required)" in judged(versions, codes)[READ].reason
    assert failed(versions, codes, served="codes") == []
    assert failed(versions, versions.add(fit_model(rows, FEW_TREES, threads=1)), served="codes") == [READ]


def test_a_version_that_knows_nothing_fails(versions):
    rows = learnable()
    names = np.array(CLASS_NAMES)[rows["label"]]
    assert failed(versions, versions.add(DummyClassifier(strategy="prior").fit(rows[list(FEATURE_NAMES)], names))) == [
        READ
    ]


def test_a_version_that_answers_something_else_for_one_row_than_for_all_fails(versions):
    rows = learnable()
    ranked = Ranked(n_estimators=5).fit(rows[list(FEATURE_NAMES)], np.array(CLASS_NAMES)[rows["label"]])
    version = versions.add(ranked)
    assert failed(versions, version) == [FITS, READ]
    assert "One row at a time" in judged(versions, version)[READ].reason


def test_a_weak_version_in_the_right_order_passes_and_is_left_to_the_gate(versions, forest):
    """Held is not broken: among few held-out rows, even a useful model may rank wrongly by chance."""
    frame = learnable(noise=0)
    swapped = {REJECT: APPROVE, APPROVE: REJECT}
    frame.loc[frame["split"] == TEST, "label"] = frame["label"].replace(swapped)
    verdict = judged(versions, versions.add(forest), frame=frame)[READ]
    assert verdict.passed
    assert "held-out rows" in verdict.reason
    assert "learned rows" in verdict.reason


@pytest.mark.parametrize("classes", [(APPROVE, REVIEW_REQUIRED), (REJECT, APPROVE)])
def test_rows_without_a_class_are_judged_by_the_others(versions, classes):
    frame = learnable(classes=classes, noise=0)
    right = versions.add(fit_model(frame, FEW_TREES, threads=1))
    wrong = versions.add(fit_model(frame, FEW_TREES, threads=1, served="codes"))
    assert failed(versions, right, frame=frame) == []
    assert failed(versions, wrong, frame=frame) == [READ]


def test_the_specialists_send_33_doubles_in_no_order_and_read_by_position():
    sent = as_sent(learnable(5))
    assert sent.shape == (5, 33)
    assert set(sent.dtypes) == {np.dtype("float64")}
    assert [name for name in sent.columns if name in FEATURE_NAMES] != list(FEATURE_NAMES)
    assert set(FEATURE_NAMES) < set(sent.columns)
    array = np.array([[0.7, 0.2, 0.1]])
    for answer in (array, pd.DataFrame(array, columns=["x", "y", "z"])):
        assert read(answer, 1, "names").equals(Answers(np.array([0.7]), np.array([0.2])))
        assert read(answer, 1, "codes").equals(Answers(np.array([0.2]), np.array([0.7])))
    assert read(np.array([1]), 1, "names").equals(Answers(np.array([0.5]), np.array([0.5])))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_version_of_each_family_passes(versions, name):
    parameters = named(FAMILIES[name], FAMILIES[name].defaults)
    # Ensembles have trees of their own, so they show what many trees do.
    few = {key: 20 for key in ("n_estimators", "max_iter") if key in parameters and name != "logistic"}
    model = fit_model(learnable(240), parameters | few, threads=1)
    found = judged(versions, versions.add(model))
    # How long an answer takes on a busy machine is nothing to fail a test for.
    assert [check for check, verdict in found.items() if not (verdict.passed or verdict.warns_only)] == []
    assert found[FITS].figures["megabytes"] < LARGEST_MB
    assert found[IN_TIME].figures["milliseconds"] > 0


def test_a_model_of_our_own_classes_is_refused_and_the_reason_names_them(versions):
    rows = learnable()
    own = Ranked(n_estimators=2).fit(rows[list(FEATURE_NAMES)], np.array(CLASS_NAMES)[rows["label"]])
    verdict = judged(versions, versions.add(own))[FITS]
    assert (verdict.passed, verdict.warns_only) == (False, False)
    assert f"names {Ranked.__module__}.Ranked. Pods have scikit-learn" in verdict.reason
    assert FITS in BLOCKING


def test_an_oversized_model_is_refused(versions, forest, monkeypatch):
    monkeypatch.setattr(pod_limits, "LARGEST_MB", 0.001)
    verdict = judged(versions, versions.add(forest))[FITS]
    assert not verdict.passed
    assert "at most 0.001 MB are allowed" in verdict.reason


@pytest.mark.parametrize(
    ("load", "passed"),
    [(Load(49.9, 255.0), True), (Load(50.1, 1.0), False), (Load(1.0, 257.0), False), (Load(1.0, None), True)],
)
def test_a_slow_or_large_version_is_warned_of(load, passed):
    verdict = judge_load(load)
    assert (verdict.passed, verdict.warns_only, IN_TIME in BLOCKING) == (passed, True, False)
    assert verdict.figures["milliseconds"] == load.milliseconds


class Ranked(RandomForestClassifier):
    """Probabilities relative to the other rows of the same question."""

    def predict_proba(self, rows):
        found = super().predict_proba(rows)
        return (found + np.eye(3)[found.sum(axis=0).argmax()]) / 2 if len(rows) > 1 else found


class Overconfident(DummyClassifier):
    """Three probabilities of one each."""

    def predict_proba(self, rows):
        return np.ones((len(rows), 3))
