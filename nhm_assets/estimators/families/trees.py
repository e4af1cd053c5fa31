"""What the families of trees have in common: how large a tree may grow."""

from typing import Any

from nhm_assets.estimators.families.family import Trial


def tree_sizes(trial: Trial) -> dict[str, Any]:
    """The next values of the parameters that bound a tree."""
    return {
        "max_depth": trial.suggest_int("max_depth", 4, 20),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 10),
    }
