"""The search for hyperparameters on the validation rows, which are newer than the train rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, TRAIN, VALIDATION
from nhm_assets.domain.errors import TooFewRows
from nhm_assets.estimators.families import DEFAULT, named
from nhm_assets.estimators.families.family import SEED, Family
from nhm_assets.estimators.fitting import fit_model, learning_rows
from nhm_assets.training.model_size import LARGEST_MB, all_too_large, megabytes_of

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Scored:
    """How a trial did.

    Attributes:
        f1: of approve on the validation rows.
        megabytes: that the file of a model which learned all rows would have, at most.
    """

    f1: float
    megabytes: float = field(compare=False)


TrialLogger = Callable[[int, dict[str, Any], Scored], None]
Recall = Callable[[int, Mapping[str, Any]], Scored | None]
"""The trial with this number and these parameters, if an interrupted search has made it."""


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
    largest_mb: float = LARGEST_MB,
) -> dict[str, Any]:
    """The parameters with the best F1 of approve on the validation rows; the test rows are not used.

    The search is seeded: the same rows result in the same parameters, even if it was interrupted.

    Args:
        frame: the dataset.
        family: of the model.
        trials: number of parameter sets; the first is the default set.
        threads: of each fit.
        log_trial: called with number and parameters of each trial that was not recalled, and how it did.
        recall: see `Recall`.
        served: see `fit_model`.
        weights: parameters that every trial has besides: the weight of rows that a language model made.
        largest_mb: megabytes that the file of a model may have. The parameters of a larger one are not chosen.

    Raises:
        TooFewRows: there are no validation rows to search on.
        DataError: all models are too large.
    """
    import numpy as np
    import optuna
    from sklearn.metrics import f1_score

    train, validation = frame[frame["split"] == TRAIN], frame[frame["split"] == VALIDATION]
    if validation.empty or train.empty:
        raise TooFewRows(
            "there are no validation rows for the tuning: wait for more feedback, or set HYPERPARAMETER_TUNING=false"
        )

    approve = fitted_labels(np.array([APPROVE]), served)[0]

    def fitted(parameters: Mapping[str, Any]) -> Scored:
        model = fit_model(train, {**parameters, **(weights or {})}, threads=threads, served=served)
        predicted = model.predict(validation[list(FEATURE_NAMES)])
        f1 = float(f1_score(validation["label"] == APPROVE, predicted == approve, zero_division=0.0))
        return Scored(f1, round(megabytes_of(model) * len(learning_rows(frame)) / len(train), 3))

    sizes: list[float] = []

    def score(trial: "optuna.Trial") -> float:
        parameters = named(family, {**family.defaults, **family.search_space(trial)})
        known = recall(trial.number, parameters)
        one = known or fitted(parameters)
        if known is None:
            log_trial(trial.number, parameters, one)
        sizes.append(one.megabytes)
        if one.megabytes > largest_mb:
            raise optuna.TrialPruned
        return one.f1

    study = seeded_study()
    study.enqueue_trial(dict(family.defaults))
    study.optimize(score, n_trials=trials)
    if min(sizes) > largest_mb:
        raise all_too_large(sizes, largest_mb)
    return named(family, {**family.defaults, **study.best_params})


def seeded_study(pruner: "optuna.pruners.BasePruner | None" = None) -> "optuna.Study":
    """A study that looks for the greatest score; the same scores result in the same trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED), pruner=pruner)
