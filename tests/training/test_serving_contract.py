"""The checks on `trained_model`, on versions in a registry."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.training.serving_contract import DESCRIPTIONS, judge_version
from tests.support.learnable import learnable
from tests.support.versions import MODEL, Versions, feature_signature, small_forest


@pytest.fixture(scope="module")
def forest():
    return small_forest()


def judged(versions: Versions, version: str) -> dict[str, Verdict]:
    found = judge_version(versions.client, MODEL, version)
    assert [verdict.check for verdict in found] == list(DESCRIPTIONS)
    return {verdict.check: verdict for verdict in found}


def failed(versions: Versions, version: str) -> list[str]:
    return [name for name, verdict in judged(versions, version).items() if not verdict.passed]


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


def test_only_the_signature_fails_if_the_model_can_still_predict(versions, forest):
    assert failed(versions, versions.add(forest, signature=None)) == ["signature_matches_features"]


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
    assert failed(versions, versions.add(forest, pyfunc_predict_fn="predict")) == ["loads_as_pyfunc"]


def test_a_model_of_two_classes_fails(versions):
    rows = learnable(classes=(0, 1))
    two = RandomForestClassifier(n_estimators=3).fit(rows[list(FEATURE_NAMES)], rows["label"])
    version = versions.add(two)
    assert failed(versions, version) == ["loads_as_pyfunc"]
    assert "(3, 2)" in judged(versions, version)["loads_as_pyfunc"].reason


def test_a_model_that_does_not_accept_missing_embeddings_fails(versions):
    rows = learnable().fillna(0.0)
    strict = GradientBoostingClassifier(n_estimators=2).fit(rows[list(FEATURE_NAMES)], rows["label"])
    version = versions.add(strict)
    assert failed(versions, version) == ["loads_as_pyfunc"]
    assert "NaN" in judged(versions, version)["loads_as_pyfunc"].reason


def test_a_version_with_a_replaced_file_fails_every_check_without_being_loaded(versions, forest):
    version = versions.add(forest)
    (versions.files(version) / "model.pkl").write_bytes(b"not even a pickle")
    found = judged(versions, version)
    assert failed(versions, version) == list(DESCRIPTIONS)
    assert all("was replaced" in verdict.reason for verdict in found.values())


def test_a_version_without_a_digest_fails_every_check(versions, forest):
    version = versions.add(forest, verified=False)
    assert failed(versions, version) == list(DESCRIPTIONS)


def test_probabilities_that_do_not_sum_to_one_fail(versions):
    rows = learnable()
    overconfident = Overconfident(strategy="prior").fit(rows[list(FEATURE_NAMES)], rows["label"])
    assert failed(versions, versions.add(overconfident)) == ["loads_as_pyfunc"]


class Overconfident(DummyClassifier):
    """Three probabilities of one each."""

    def predict_proba(self, rows):
        return np.ones((len(rows), 3))
