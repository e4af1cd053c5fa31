"""Soft voting: the mean of what members of the other families answer."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.estimators.families.family import Family, Trial

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples

_WEIGHT: Final = "weight_"
"""Begins the parameters with the weight of a member, which its name ends."""
_LARGEST: Final = 4


class Voting(Family):
    """The weighted mean of the members' probabilities. Members have the defaults of their families."""

    name = "voting"
    complexity = 5
    ensemble = True

    def __init__(self, members: Sequence[Family]) -> None:
        """A voting of these families, all with the same weight unless parameters say otherwise."""
        self._members = {family.name: family for family in members}
        self.defaults = MappingProxyType({f"{_WEIGHT}{name}": 1 for name in self._members})

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {name: trial.suggest_int(name, 1, _LARGEST) for name in self.defaults}

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: D102
        from sklearn.ensemble import VotingClassifier

        members = [(name, family.build(family.defaults, threads)) for name, family in self._members.items()]
        shares = self.weights(parameters)
        return VotingClassifier(members, voting="soft", weights=[shares[name] for name in self._members])

    def fit(self, estimator: Any, examples: "Examples") -> Any:
        """The voting of members that their families fit: scikit-learn's own fit gives a pipeline no weights."""
        from sklearn.preprocessing import LabelEncoder

        fitted = [(name, self._members[name].fit(member, examples)) for name, member in estimator.estimators]
        estimator.estimators = fitted
        estimator.estimators_ = [member for _, member in fitted]
        estimator.le_ = LabelEncoder().fit(examples.served_classes)
        estimator.classes_ = estimator.le_.classes_
        estimator.feature_names_in_ = examples.features.columns.to_numpy(dtype=object)
        return estimator

    def members(self, estimator: Any) -> dict[str, Any]:  # noqa: D102
        return dict(estimator.estimators)

    def weights(self, parameters: Mapping[str, Any]) -> dict[str, float]:  # noqa: D102
        given = {name: float(parameters[f"{_WEIGHT}{name}"]) for name in self._members}
        return {name: weight / sum(given.values()) for name, weight in given.items()}
