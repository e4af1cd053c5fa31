"""An ensemble beside its members on the same test rows, and whether it is worth it."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from mlflow import MlflowClient

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.increment_records import Increment
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import FAMILIES, PARAMETERS, named
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.members import Members, candidates_members, judge_members
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform
from tests.support.reports import trained_model
from tests.support.small_families import make_members_small

ROWS, ASKED = learnable(240, noise=0.3), learnable(120, noise=0.3, seed=5)


def parameters_of(name: str) -> dict[str, Any]:
    return named(FAMILIES[name], FAMILIES[name].defaults)


def test_a_single_model_has_no_members():
    assert judge_members(fit_model(ROWS, PARAMETERS | {"n_estimators": 5}, threads=1), PARAMETERS, ASKED) is None


@pytest.mark.parametrize(("name", "calibration"), [("voting", "sigmoid"), ("stacking", "none")])
def test_each_member_and_the_whole_are_scored_calibrated_or_not(
    name: str, calibration: Any, monkeypatch: pytest.MonkeyPatch
):
    make_members_small(monkeypatch)
    model = fit_estimator(ROWS, parameters_of(name), threads=1, calibration=calibration).estimator
    found = judge_members(model, parameters_of(name), ASKED)
    assert found is not None
    singles = [one for one, family in FAMILIES.items() if not family.ensemble]
    assert [row[0] for row in found.rows()] == ["whole", *singles]
    assert found.best == max(singles, key=lambda one: found.metrics[one].f1)
    assert found.difference == pytest.approx(found.metrics["whole"].f1 - found.metrics[found.best].f1)
    assert found.standard_error > 0
    logistic = fit_model(ROWS, parameters_of("logistic"), threads=1)
    called = logistic.predict(ASKED[list(FEATURE_NAMES)]) == "approve"
    approved = (ASKED["label"] == APPROVE).to_numpy()
    f1 = 2 * (called & approved).sum() / (called.sum() + approved.sum())
    assert found.metrics["logistic"].f1 == pytest.approx(f1)


@pytest.mark.parametrize(
    ("difference", "worth_it", "said"),
    [
        (0.021, True, "better than each of its members"),
        (0.02, False, "MODEL_FAMILY=logistic would do"),
        (-0.1, False, "MODEL_FAMILY=logistic would do"),
    ],
)
def test_an_ensemble_is_worth_it_if_it_is_better_by_more_than_the_standard_error(difference, worth_it, said):
    found = Members({}, "logistic", difference, 0.02)
    assert found.is_worth_it is worth_it
    assert said in found.sentence
    assert f"{difference:+.3f} (standard error 0.020)" in found.sentence


def test_an_increment_has_no_members_though_its_frozen_version_has():
    learned = Increment.model_validate(dict.fromkeys(Increment.model_fields, 1) | {"frozen": "7", "fell_back": False})
    trained = trained_model(parameters=parameters_of("voting"), increment=learned)
    nobody_answers = MlflowClient("http://127.0.0.1:9")
    assert candidates_members(nobody_answers, None, ASKED, trained) is None


@pytest.mark.servers
def test_the_report_on_a_voting_model_shows_its_members_and_the_log_warns_that_one_would_do(platform: Platform):
    store_dataset(platform, learnable(400, noise=0.1))
    voting = platform.with_settings(min_real_samples=240, model_family="voting", gate_folds=0, calibration="none")
    result = voting.retrain(only=["trained_model", "evaluation_report"])
    assert result.success
    metadata = result.asset_materializations_for_node("evaluation_report")[0].metadata
    assert len(metadata["members"].records) == 5
    said = str(metadata["ensemble"].value)
    assert said.startswith("The ensemble is not clearly better than its best member: MODEL_FAMILY=")
    logged = platform.instance.all_logs(result.run_id)
    assert said in [entry.user_message for entry in logged if entry.level == logging.WARNING]
    trained = result.asset_value(AssetKey("trained_model"))
    with platform.mlflow.client() as client:
        weights = json.loads(Path(client.download_artifacts(trained.run_id, "ensemble_weights.json")).read_text())
    assert weights == dict.fromkeys(FAMILIES["voting"].weights(parameters_of("voting")), 0.25)
