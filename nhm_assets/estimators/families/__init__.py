"""The families of models: each is one scikit-learn estimator that the specialists can load; see `family`."""

from collections.abc import Mapping
from typing import Any, Final

from nhm_assets.estimators.families.extra_trees import ExtraTrees
from nhm_assets.estimators.families.family import FAMILY, LLM_WEIGHT, Family
from nhm_assets.estimators.families.hist_gradient_boosting import HistGradientBoosting
from nhm_assets.estimators.families.logistic import Logistic
from nhm_assets.estimators.families.random_forest import RandomForest
from nhm_assets.estimators.families.stacking import Stacking
from nhm_assets.estimators.families.voting import Voting

DEFAULT: Final[Family] = RandomForest()
_SINGLE: Final[tuple[Family, ...]] = (DEFAULT, ExtraTrees(), HistGradientBoosting(), Logistic())

FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family for family in (*_SINGLE, Voting(_SINGLE), Stacking(_SINGLE))
}
"""Name -> family; the default one first."""

AUTO: Final = "auto"
"""In MODEL_FAMILY: search for the family too."""

PARAMETERS: Final[dict[str, Any]] = dict(DEFAULT.defaults)
"""The parameters of a model of the default family."""


def named(family: Family, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that say of which family they are. Those of the default family do not say it: they never did."""
    return dict(parameters) if family is DEFAULT else {FAMILY: family.name, **parameters}


def family_of(parameters: Mapping[str, Any]) -> Family:
    """The family that these parameters of a model name."""
    return FAMILIES[parameters.get(FAMILY, DEFAULT.name)]


def own_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the estimator: without the name of their family, and without the weight of rows."""
    return {name: value for name, value in parameters.items() if name not in (FAMILY, LLM_WEIGHT)}


def members_of(model: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The fitted members of an ensemble, calibrated or not, by the name of their family; empty for a single model."""
    family = family_of(parameters)
    if not family.ensemble:
        return {}
    # Only what calibrates it has an estimator.
    return family.members(getattr(model, "estimator", model))


def searched_for(parameters: Mapping[str, Any]) -> bool:
    """Whether these are other parameters than the defaults of their family, so that a search has found them."""
    return any(parameters.get(name) != value for name, value in family_of(parameters).defaults.items())
