"""Stacking (Wolpert 1992): a logistic regression on what members of the other families answer."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nhm_assets.estimators.families.family import SEED, Family, Trial

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples


class Stacking(Family):
    """The top learns from members that had learned the older rows alone, and serves the members that learned all.

    Asked about rows that they have learned, members are far too sure, and the top would believe them.
    """

    name = "stacking"
    complexity = 6
    ensemble = True
    defaults = MappingProxyType({"C": 0.1})

    def __init__(self, members: Sequence[Family]) -> None:
        """A stack of these families, each with its defaults."""
        self._members = {family.name: family for family in members}

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {"C": trial.suggest_float("C", 1e-3, 10.0, log=True)}

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: D102
        from sklearn.ensemble import StackingClassifier
        from sklearn.linear_model import LogisticRegression

        members = [(name, family.build(family.defaults, threads)) for name, family in self._members.items()]
        top = LogisticRegression(**parameters, max_iter=1000, random_state=SEED)
        return StackingClassifier(members, final_estimator=top, cv="prefit", stack_method="predict_proba")

    def fit(self, estimator: Any, examples: "Examples") -> Any:  # noqa: D102
        from sklearn.base import clone
        from threadpoolctl import threadpool_limits

        older, newer = examples.by_time()
        unfitted = estimator.estimators
        estimator.estimators = [(name, self._members[name].fit(clone(member), older)) for name, member in unfitted]
        with threadpool_limits(1, user_api="blas"):
            estimator.fit(newer.features, newer.classes, sample_weight=newer.weights)
        fitted = [(name, self._members[name].fit(member, examples)) for name, member in unfitted]
        estimator.estimators = fitted
        estimator.estimators_ = [member for _, member in fitted]
        estimator.named_estimators_.update(fitted)
        return estimator

    def members(self, estimator: Any) -> dict[str, Any]:  # noqa: D102
        return dict(estimator.estimators)
