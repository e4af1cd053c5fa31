"""Which rows a model learns, and its fit by the family that its parameters name."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses
from nhm_assets.domain.dataset_schema import TEST
from nhm_assets.domain.frame_views import taken
from nhm_assets.estimators.families import family_of, own_parameters
from nhm_assets.estimators.families.examples import Examples
from nhm_assets.estimators.families.family import LLM_WEIGHT


def learning_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the model is fitted on: train and validation, never test."""
    return taken(frame, frame["split"] != TEST)


def fit_model(
    rows: pd.DataFrame, parameters: Mapping[str, Any], *, threads: int, served: ServedClasses = "names"
) -> Any:
    """Fit a model that knows all three classes, by name: approve, reject, review_required.

    The specialists read the first probability as confidence and the second as risk, so the order matters.

    Args:
        rows: dataset rows, in the order of the dataset; another order results in another model.
        parameters: of the model's family, which they name unless it is the default one; with the weight of rows that
            a language model made, if there are any.
        threads: of the fit; their number does not change the result.
        served: fit on the names of the classes, or on their numbers: reject, approve, review_required.
    """
    family = family_of(parameters)
    examples = Examples(rows, served, parameters.get(LLM_WEIGHT, 1.0))
    return family.fit(family.build(own_parameters(parameters), threads), examples)
