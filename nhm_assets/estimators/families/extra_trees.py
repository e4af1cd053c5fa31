"""Extremely randomized trees (Geurts, Ernst & Wehenkel 2006)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nhm_assets.estimators.families.family import SEED, Trial
from nhm_assets.estimators.families.imputed import Imputed
from nhm_assets.estimators.families.trees import tree_sizes


class ExtraTrees(Imputed):
    """Many trees, each on all rows, with cuts drawn by chance: smoother answers than a forest's."""

    name = "extra_trees"
    complexity = 3
    defaults = MappingProxyType(
        {
            "n_estimators": 100,
            "max_depth": 12,
            "min_samples_leaf": 2,
            "max_features": 0.5,
            "class_weight": "balanced",
            "random_state": SEED,
        }
    )

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {
            "n_estimators": trial.suggest_int("n_estimators", 50, 200),
            **tree_sizes(trial),
            "max_features": trial.suggest_float("max_features", 0.2, 1.0),
        }

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: D102
        from sklearn.ensemble import ExtraTreesClassifier

        return self.pipeline(ExtraTreesClassifier(**parameters, n_jobs=threads))
