"""Multinomial logistic regression on scaled features."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nhm_assets.estimators.families.family import SEED, Trial
from nhm_assets.estimators.families.imputed import Imputed

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples


class Logistic(Imputed):
    """One weight per feature and class: small, fast, and right where each feature says its part by itself."""

    name = "logistic"
    complexity = 1
    defaults = MappingProxyType({"C": 1.0, "max_iter": 1000, "class_weight": "balanced", "random_state": SEED})

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {"C": trial.suggest_float("C", 1e-3, 1e2, log=True)}

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: ARG002, D102 - one thread is enough
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        return self.pipeline(StandardScaler(), LogisticRegression(**parameters))

    def fit(self, estimator: Any, examples: "Examples") -> Any:
        """The fitted pipeline; the sums of several threads would be rounded in another way."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return super().fit(estimator, examples)
