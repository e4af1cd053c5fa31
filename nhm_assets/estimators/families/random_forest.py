"""The random forest (Breiman 2001): the default family."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nhm_assets.estimators.families.family import SEED, Family, Trial
from nhm_assets.estimators.families.trees import tree_sizes

if TYPE_CHECKING:
    from nhm_assets.estimators.families.examples import Examples


class RandomForest(Family):
    """Many trees, each on rows drawn with replacement. Its trees learn from missing values."""

    name = "random_forest"
    complexity = 2
    defaults = MappingProxyType(
        {
            "n_estimators": 100,
            "max_depth": 10,
            "min_samples_split": 5,
            "min_samples_leaf": 2,
            "class_weight": "balanced",
            "random_state": SEED,
        }
    )

    def search_space(self, trial: Trial) -> dict[str, Any]:  # noqa: D102 - see the protocol
        return {
            "n_estimators": trial.suggest_int("n_estimators", 50, 300),
            "min_samples_split": trial.suggest_int("min_samples_split", 2, 20),
            **tree_sizes(trial),
        }

    def build(self, parameters: Mapping[str, Any], threads: int) -> Any:  # noqa: D102
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(**parameters, n_jobs=threads)

    def fit(self, estimator: Any, examples: "Examples") -> Any:
        """The fitted forest; of very few rows, one whose trees all learn all of them.

        (Bootstraps also draw the rows without weight, so a forest that misses a class differs from one without those
        rows as much as with another seed.)
        """
        features, classes, weights = examples.single_precision(), examples.class_numbers, examples.weights
        forest = estimator.fit(features, classes, sample_weight=weights)
        if not all(tree.tree_.weighted_n_node_samples[0] > 0 for tree in forest.estimators_):
            # A bootstrap may draw only rows without weight; that tree would answer NaN for everything.
            forest.set_params(bootstrap=False).fit(features, classes, sample_weight=weights)
        forest.classes_ = examples.served_classes
        return forest.set_params(n_jobs=1)
