"""Families whose estimator does not accept missing values: it stands at the end of a pipeline that fills them in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nhm_assets.estimators.families.family import Family

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from nhm_assets.estimators.families.examples import Examples


class Imputed(Family):
    """A pipeline: the median for a missing value, a mark of its own for each feature that has any, the estimator."""

    def pipeline(self, *steps: Any) -> "Pipeline":
        """The pipeline that ends with these steps."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline

        # Without its empty features, a model of computed rows would have no column for stored embeddings.
        return make_pipeline(SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), *steps)

    def fit(self, estimator: Any, examples: "Examples") -> Any:  # noqa: D102 - see the protocol
        steps: Sequence[tuple[str, Any]] = estimator.steps
        last, model = steps[-1]
        estimator.fit(examples.features, examples.class_numbers, **{f"{last}__sample_weight": examples.weights})
        model.classes_ = examples.served_classes
        model.set_params(n_jobs=1)
        return estimator
