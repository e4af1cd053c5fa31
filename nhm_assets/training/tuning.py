"""The search for hyperparameters on the validation rows, which are newer than the train rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, TRAIN, VALIDATION
from nhm_assets.domain.errors import DataError
from nhm_assets.estimators.forest import PARAMETERS, fit_forest

if TYPE_CHECKING:
    import optuna

_RANGES: Final = {
    "n_estimators": (50, 300),
    "max_depth": (4, 20),
    "min_samples_split": (2, 20),
    "min_samples_leaf": (1, 10),
}
"""Lowest and highest value of the search."""

TrialLogger = Callable[[int, dict[str, Any], float], None]


def search_parameters(
    frame: pd.DataFrame, *, trials: int, threads: int, log_trial: TrialLogger, served: ServedClasses = "names"
) -> dict[str, Any]:
    """The parameters with the best F1 of approve on the validation rows; the test rows are not used.

    The search is seeded: the same rows result in the same parameters.

    Args:
        frame: the dataset.
        trials: number of parameter sets; the first is the default set.
        threads: of each fit.
        log_trial: called with number, parameters and score of each trial.
        served: see `fit_forest`.

    Raises:
        DataError: there are no validation rows to search on.
    """
    import numpy as np
    import optuna
    from sklearn.metrics import f1_score

    train, validation = frame[frame["split"] == TRAIN], frame[frame["split"] == VALIDATION]
    if validation.empty or train.empty:
        raise DataError(
            "there are no validation rows for the tuning: wait for more feedback, or set HYPERPARAMETER_TUNING=false"
        )

    approve = fitted_labels(np.array([APPROVE]), served)[0]

    def score(trial: "optuna.Trial") -> float:
        parameters = PARAMETERS | _suggest(trial)
        forest = fit_forest(train, parameters, threads=threads, served=served)
        predicted = forest.predict(validation[list(FEATURE_NAMES)])
        value = float(f1_score(validation["label"] == APPROVE, predicted == approve, zero_division=0.0))
        log_trial(trial.number, parameters, value)
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=PARAMETERS["random_state"])
    )
    study.enqueue_trial({name: PARAMETERS[name] for name in _RANGES})
    study.optimize(score, n_trials=trials)
    return PARAMETERS | study.best_params


def _suggest(trial: "optuna.Trial") -> dict[str, Any]:
    return {name: trial.suggest_int(name, low, high) for name, (low, high) in _RANGES.items()}
