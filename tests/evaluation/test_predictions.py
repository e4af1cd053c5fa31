"""Predictions of candidate and champion, loaded from the registry."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from nhm_assets.domain.dataset_schema import FEATURE_NAMES, TEST
from nhm_assets.domain.errors import RegistryError
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.metrics import compute_metrics
from nhm_assets.evaluation.predictions import candidate_probabilities, champion_probabilities
from nhm_assets.registry.model_files import model_sha256
from nhm_assets.registry.vocabulary import CLASSES_TAG
from tests.support.learnable import learnable
from tests.support.versions import FEW_TREES, MODEL, Versions, feature_signature, small_forest


@pytest.fixture(scope="module")
def rows():
    frame = learnable(noise=0)
    return frame[frame["split"] == TEST].reset_index(drop=True)


@pytest.fixture(scope="module")
def forest():
    return small_forest(noise=0)


def labelled(forest, rows) -> np.ndarray:
    """The probabilities of reject, approve and review_required, whatever the order of the forest's classes."""
    answers = forest.predict_proba(rows[list(FEATURE_NAMES)])
    columns = {str(name): answers[:, number] for number, name in enumerate(forest.classes_)}
    return np.column_stack([columns[name] for name in ("reject", "approve", "review_required")])


def score_champion(versions: Versions, version: str, rows, *, allow_unverified: bool = False) -> np.ndarray:
    return champion_probabilities(
        versions.client, versions.log, MODEL, version, rows, allow_unverified=allow_unverified
    )


def test_the_candidate_is_the_registered_model(versions, rows, forest):
    probabilities, _ = candidate_probabilities(versions.client, versions.log, MODEL, versions.add(forest), rows)
    assert np.array_equal(probabilities, labelled(forest, rows))


def test_the_feature_that_decides_everything_is_the_most_important_and_the_others_hardly_matter(versions, rows, forest):
    _, importances = candidate_probabilities(versions.client, versions.log, MODEL, versions.add(forest), rows)
    importances = importances()
    assert tuple(importances) == FEATURE_NAMES
    decisive = importances.pop("risk_score")
    assert decisive > 0.3
    assert all(abs(loss) < decisive / 3 for loss in importances.values())


def test_another_deciding_feature_is_the_most_important(versions):
    frame = learnable(noise=0, decided_by="density")
    version = versions.add(small_forest(noise=0, decided_by="density"))
    _, importances = candidate_probabilities(
        versions.client, versions.log, MODEL, version, frame[frame["split"] == TEST]
    )
    importances = importances()
    assert max(importances, key=importances.__getitem__) == "density"


def test_importances_are_seeded(versions, rows, forest):
    version = versions.add(forest)
    first, second = (candidate_probabilities(versions.client, versions.log, MODEL, version, rows)[1] for _ in range(2))
    assert first() == second() == first()


def test_a_candidate_that_cannot_be_verified_is_never_loaded(versions, rows, forest):
    with pytest.raises(RegistryError, match="cannot be verified"):
        candidate_probabilities(versions.client, versions.log, MODEL, versions.add(forest, verified=False), rows)


def test_the_champion_predicts_what_the_specialists_get(versions, rows, forest):
    probabilities = score_champion(versions, versions.add(forest), rows)
    assert np.array_equal(probabilities, labelled(forest, rows))


@pytest.mark.parametrize("served", ["names", "codes"])
def test_a_version_is_scored_by_its_own_order_of_classes(versions, rows, served):
    """The version of last week may have been fitted on numbers, and the candidate on names."""
    frame = learnable(noise=0)
    version = versions.add(fit_model(frame, FEW_TREES, threads=1, served=served))
    candidate, importances = candidate_probabilities(versions.client, versions.log, MODEL, version, rows)
    assert np.array_equal(candidate, score_champion(versions, version, rows))
    assert compute_metrics(rows["label"].to_numpy(), candidate).accuracy > 0.9
    importances = importances()
    assert max(importances, key=importances.__getitem__) == "risk_score"


@pytest.mark.parametrize("classes", [(1, 2, 3), ("a", "b", "c"), ("reject", "approve", "conditional")])
def test_a_champion_of_other_classes_is_refused(versions, rows, classes):
    labels = np.array(classes)[rows["label"]]
    other = RandomForestClassifier(n_estimators=3).fit(rows[list(FEATURE_NAMES)], labels)
    with pytest.raises(RegistryError, match="answers the classes"):
        score_champion(versions, versions.add(other), rows)


def test_the_tag_says_the_order_of_a_model_without_classes(versions, rows):
    model = Orderless()
    tagged = versions.add(model, tags={CLASSES_TAG: "review_required,approve,reject"})
    assert score_champion(versions, tagged, rows)[0].tolist() == [0.3, 0.6, 0.1]
    with pytest.raises(RegistryError, match="answers the classes unknown"):
        score_champion(versions, versions.add(model), rows)


@pytest.mark.servers
def test_a_champion_without_a_digest_is_scored_only_if_allowed(versions, rows, forest):
    version = versions.add(forest, verified=False)
    with pytest.raises(RegistryError, match="ALLOW_UNVERIFIED_CHAMPION"):
        score_champion(versions, version, rows)
    assert score_champion(versions, version, rows, allow_unverified=True).shape == (len(rows), 3)


def test_a_champion_that_predicts_classes_is_refused(versions, rows, forest):
    version = versions.add(forest, pyfunc_predict_fn="predict")
    with pytest.raises(RegistryError, match=rf"version {version} predicts the shape \({len(rows)},\)"):
        score_champion(versions, version, rows)


def test_a_champion_of_two_classes_is_refused(versions, rows):
    two = DummyClassifier(strategy="prior").fit(rows[list(FEATURE_NAMES)], np.arange(len(rows)) % 2)
    with pytest.raises(RegistryError, match=rf"predicts the shape \({len(rows)}, 2\)"):
        score_champion(versions, versions.add(two), rows)


def test_a_champion_that_predicts_nan_is_refused(versions, rows):
    version = versions.add(Clueless(strategy="prior").fit(rows[list(FEATURE_NAMES)], np.arange(len(rows)) % 3))
    with pytest.raises(RegistryError, match=f"version {version} predicts values that are not numbers"):
        score_champion(versions, version, rows)


def test_a_champion_with_other_columns_cannot_be_scored(versions, rows, forest):
    version = versions.add(forest, signature=feature_signature((*FEATURE_NAMES, "human_rating")))
    with pytest.raises(RegistryError, match="cannot be scored") as error:
        score_champion(versions, version, rows)
    assert f"{MODEL} version {version}" in str(error.value)
    assert "archive" not in str(error.value)


def test_a_champion_whose_file_cannot_be_read_never_counts_as_a_bad_one(versions, rows, forest):
    version = versions.add(forest)
    files = versions.files(version)
    (files / "model.pkl").write_bytes(b"as it was registered, and no pickle")
    versions.record(version, sha256=model_sha256(files))
    with pytest.raises(RegistryError, match="cannot be scored"):
        score_champion(versions, version, rows)


class Orderless(BaseEstimator):
    """Probabilities of classes that it does not name."""

    def predict_proba(self, rows):
        return np.tile([0.1, 0.6, 0.3], (len(rows), 1))


class Clueless(DummyClassifier):
    """Three columns, and nothing in them."""

    def predict_proba(self, rows):
        return np.full((len(rows), 3), np.nan)
