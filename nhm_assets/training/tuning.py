"""The search for hyperparameters on the validation rows, which are newer than the train rows."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, TRAIN, VALIDATION
from nhm_assets.domain.errors import DataError
from nhm_assets.estimators.families import DEFAULT, named
from nhm_assets.estimators.families.family import SEED, Family
from nhm_assets.estimators.fitting import fit_model

if TYPE_CHECKING:
    import optuna

TrialLogger = Callable[[int, dict[str, Any], float], None]
Recall = Callable[[int, Mapping[str, Any]], float | None]
"""The score of the trial with this number and these parameters, if an interrupted search has made it."""


def search_parameters(
    frame: pd.DataFrame,
    family: Family = DEFAULT,
    *,
    trials: int,
    threads: int,
    log_trial: TrialLogger,
    recall: Recall = lambda *_: None,
    served: ServedClasses = "names",
    weights: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The parameters with the best F1 of approve on the validation rows; the test rows are not used.

    The search is seeded: the same rows result in the same parameters, even if it was interrupted.

    Args:
        frame: the dataset.
        family: of the model.
        trials: number of parameter sets; the first is the default set.
        threads: of each fit.
        log_trial: called with number, parameters and score of each trial that was not recalled.
        recall: see `Recall`.
        served: see `fit_model`.
        weights: parameters that every trial has besides: the weight of rows that a language model made.

    Raises:
        DataError: there are no validation rows to search on.
    """
    import numpy as np
    from sklearn.metrics import f1_score

    train, validation = frame[frame["split"] == TRAIN], frame[frame["split"] == VALIDATION]
    if validation.empty or train.empty:
        raise DataError(
            "there are no validation rows for the tuning: wait for more feedback, or set HYPERPARAMETER_TUNING=false"
        )

    approve = fitted_labels(np.array([APPROVE]), served)[0]

    def score(trial: "optuna.Trial") -> float:
        parameters = named(family, {**family.defaults, **family.search_space(trial)})
        if (known := recall(trial.number, parameters)) is not None:
            return known
        model = fit_model(train, {**parameters, **(weights or {})}, threads=threads, served=served)
        predicted = model.predict(validation[list(FEATURE_NAMES)])
        value = float(f1_score(validation["label"] == APPROVE, predicted == approve, zero_division=0.0))
        log_trial(trial.number, parameters, value)
        return value

    study = seeded_study()
    study.enqueue_trial(dict(family.defaults))
    study.optimize(score, n_trials=trials)
    return named(family, {**family.defaults, **study.best_params})


def seeded_study(pruner: "optuna.pruners.BasePruner | None" = None) -> "optuna.Study":
    """A study that looks for the greatest score; the same scores result in the same trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED), pruner=pruner)
