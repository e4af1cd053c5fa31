"""The search for hyperparameters: seeded, on validation rows, never on test rows; its trials are nested runs."""

import json
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, TEST, TRAIN, VALIDATION
from nhm_assets.domain.errors import DataError, TooFewRows
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import PARAMETERS_TAG, SEARCHED_TAG
from nhm_assets.training.tuning import Scored, search_parameters
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform
from tests.support.versions import MODEL

TRIALS = 3
Trial = tuple[int, dict[str, Any], Scored]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Rows with so much noise that parameters matter."""
    return learnable(240, noise=0.35)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """A platform for which these rows are enough."""
    return platform.with_settings(min_real_samples=240)


@pytest.fixture(scope="module")
def searched(rows: pd.DataFrame) -> tuple[dict[str, Any], list[Trial]]:
    return search(rows)


def search(rows: pd.DataFrame) -> tuple[dict[str, Any], list[Trial]]:
    """The best parameters, and what was logged for each trial."""
    logged: list[Trial] = []
    found = search_parameters(rows, trials=TRIALS, threads=1, log_trial=lambda *trial: logged.append(trial))
    return found, logged


def poisoned(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """The same rows, but with other labels and features in one split."""
    changed = rows.copy()
    here = changed["split"] == split
    changed.loc[here, "label"] = 2 - changed.loc[here, "label"]
    changed.loc[here, list(COMPUTED_FEATURES)] = np.random.default_rng(9).random((here.sum(), len(COMPUTED_FEATURES)))
    return changed


def test_every_trial_is_logged_and_the_first_is_the_default_set(searched):
    _, logged = searched
    assert [number for number, _, _ in logged] == list(range(TRIALS))
    assert logged[0][1] == PARAMETERS


def test_the_parameters_with_the_best_validation_score_win(searched):
    found, logged = searched
    assert len({one.f1 for _, _, one in logged}) > 1
    assert found == max(logged, key=lambda trial: trial[2].f1)[1]


def test_parameters_of_models_that_pods_cannot_have_are_not_chosen(rows, searched):
    _, logged = searched
    sizes = {number: one.megabytes for number, _, one in logged}
    smallest = min(sizes, key=lambda number: sizes[number])
    limit = (sorted(sizes.values())[0] + sorted(sizes.values())[1]) / 2
    recall = {number: one for number, _, one in logged}.get
    again = partial(search_parameters, rows, trials=TRIALS, threads=1, log_trial=[].append)
    assert again(recall=lambda one, _: recall(one), largest_mb=limit) == logged[smallest][1]
    with pytest.raises(DataError, match=rf"the smallest would have {sizes[smallest]:.1f} MB"):
        again(recall=lambda one, _: recall(one), largest_mb=sizes[smallest] / 2)


def test_parameters_outside_the_search_do_not_change(searched):
    found, _ = searched
    assert found.keys() == PARAMETERS.keys()
    assert [found[name] for name in ("class_weight", "random_state")] == ["balanced", 42]


def test_the_same_rows_result_in_the_same_search(rows, searched):
    assert search(rows) == searched


def test_what_an_interrupted_search_has_tried_is_not_fitted_again(rows, searched):
    found, tried = searched
    logged: list[Trial] = []
    recall = {number: one for number, _, one in tried[:2]}.get
    again = search_parameters(
        rows, trials=TRIALS, threads=1, log_trial=lambda *trial: logged.append(trial), recall=lambda one, _: recall(one)
    )
    assert (again, logged) == (found, tried[2:])


def test_test_rows_are_never_used(rows, searched):
    assert search(poisoned(rows, TEST)) == searched


@pytest.mark.parametrize("split", [TRAIN, VALIDATION])
def test_train_and_validation_rows_are_used(rows, searched, split):
    assert search(poisoned(rows, split))[1] != searched[1]


def test_without_validation_rows_the_search_says_what_to_do(rows):
    with pytest.raises(TooFewRows, match="HYPERPARAMETER_TUNING=false"):
        search(rows[rows["split"] != VALIDATION])


def test_a_tuned_run_logs_its_trials_as_nested_runs_and_trains_with_the_best_parameters(
    platform: Platform, rows, searched
):
    found, logged = searched
    store_dataset(platform, rows)
    tuned = platform.with_settings(hyperparameter_tuning=True, tuning_trials=TRIALS)
    assert tuned.retrain(only=["trained_model"]).success
    with platform.mlflow.client() as client:
        version = all_versions(client, MODEL)[0]
        run = client.get_run(version.run_id)
        assert (json.loads(version.tags[PARAMETERS_TAG]), version.tags[SEARCHED_TAG]) == (found, "true")
        assert run.data.params.pop("calibration") in ("none", "sigmoid")
        assert run.data.params == {name: str(value) for name, value in found.items()}
        nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
        trials = {trial.info.run_name: trial for trial in nested}
        assert sorted(trials) == [f"trial {number}" for number in range(TRIALS)]
        for number, parameters, one in logged:
            trial = trials[f"trial {number}"]
            assert trial.info.status == "FINISHED"
            assert trial.data.metrics == {"validation_f1": one.f1, "megabytes": one.megabytes}
            assert trial.data.params == {name: str(value) for name, value in parameters.items()}
        everything = client.search_runs([run.info.experiment_id])
        assert len(everything) == 1 + TRIALS
        assert "mlflow.parentRunId" not in run.data.tags


@pytest.mark.servers
def test_tuning_results_in_a_version_of_its_own(platform: Platform, rows):
    """Otherwise the version with the default parameters would be reused."""
    store_dataset(platform, rows)
    tuned = platform.with_settings(hyperparameter_tuning=True, tuning_trials=1)
    assert platform.retrain(only=["trained_model"]).success
    assert tuned.retrain(only=["trained_model"]).success
    assert tuned.retrain(only=["trained_model"]).success
    with platform.mlflow.client() as client:
        tags = [version.tags[SEARCHED_TAG] for version in all_versions(client, MODEL)]
        assert sorted(tags) == ["false", "true"], "even where the search chooses the defaults"


def test_a_search_without_rows_is_insufficient_data_and_registers_nothing(platform: Platform, rows):
    store_dataset(platform, rows.assign(split=rows["split"].replace(VALIDATION, TRAIN)))
    result = platform.with_settings(hyperparameter_tuning=True).retrain(only=["trained_model"])
    tags = platform.tags(result)
    assert (result.success, tags["nhm/outcome"]) == (True, "insufficient_data")
    assert "HYPERPARAMETER_TUNING" in tags["nhm/reason"]
    with platform.mlflow.client() as client:
        experiment = client.get_experiment_by_name("technical-specialist")
        assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
        assert all_versions(client, MODEL) == []
