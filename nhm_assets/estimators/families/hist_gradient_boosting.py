"""Gradient boosting on histograms (Friedman 2001; Ke et al. 2017)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.estimators.families.family import SEED, Family, Trial

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples

_OF_THE_FIT: Final = "_feature_subsample_rng"
"""A random generator that only the fit needs. Pickled by numpy 2, numpy 1.26 cannot load it."""


class HistGradientBoosting(Family):
    """Small trees, one after another, each on what the ones before got wrong. They learn from missing values.

    It answers with a thread per processor of the container or, without a CPU limit, of the node. Where others use these
    too, OMP_NUM_THREADS=1 makes it many times faster.
    """

    name = "hist_gradient_boosting"
    complexity = 4
    defaults = MappingProxyType(
        {
            "max_iter": 100,
            "learning_rate": 0.1,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 20,
            "l2_regularization": 1.0,
            # Its stop would depend on rows drawn without regard to time.
            "early_stopping": False,
            "class_weight": "balanced",
            "random_state": SEED,
        }
    )

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {
            "max_iter": trial.suggest_int("max_iter", 50, 300),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 31),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 5, 50),
            "l2_regularization": trial.suggest_float("l2_regularization", 1e-2, 10.0, log=True),
        }

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: ARG002, D102 - see `fit`
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**parameters)

    def fit(self, estimator: Any, examples: "Examples") -> Any:
        """The fitted estimator. It fits with one thread: several add up gradients in another order."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            estimator.fit(examples.features, examples.class_numbers, sample_weight=examples.weights)
        estimator.classes_ = examples.served_classes
        vars(estimator).pop(_OF_THE_FIT, None)
        return estimator
