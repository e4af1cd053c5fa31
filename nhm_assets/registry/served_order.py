"""Whether a version answers its classes in the order in which the specialists read them.

Versions of other releases, of others, or from before SERVED_CLASSES was changed may answer in another order. A rollback
to one of them is allowed, since it may be the only way out, but it is never silent.
"""

from typing import TYPE_CHECKING, Any

from nhm_assets.domain.class_order import SERVED_ORDERS, ClassOrder, ServedClasses, class_order
from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.model_files import classes_of, order_of_classes, verified_model
from nhm_assets.registry.versions import version_if_any
from nhm_assets.registry.vocabulary import CLASSES_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection


def order_warning(
    client: "MlflowClient", log: "Collection[dict[str, Any]]", model: str, version: str, served: ServedClasses
) -> str | None:
    """One sentence if the specialists may read the answers of this version wrongly; None if they read them rightly."""
    read = SERVED_ORDERS[served]
    order = _order(client, log, model, version)
    if order == read:
        return None
    answers = f"answers {', '.join(order)}" if order else "does not say in which order it answers its classes"
    return (
        f"{model} version {version} {answers}, but the specialists read {', '.join(read)} (SERVED_CLASSES={served}), so"
        " their confidence and risk may be those of other classes: check their opinions"
    )


def _order(client: "MlflowClient", log: "Collection[dict[str, Any]]", model: str, version: str) -> ClassOrder | None:
    """By the tag that the platform gives its versions; only where it is missing, by the model itself."""
    registered = version_if_any(client, model, version)
    if registered is not None and CLASSES_TAG in registered.tags:
        return class_order(registered.tags[CLASSES_TAG].split(","))
    import mlflow.sklearn

    try:
        with verified_model(client, log, model, version) as files:
            estimator = mlflow.sklearn.load_model(str(files))
    except RegistryError:
        return None
    return order_of_classes(client, model, version, classes_of(estimator))
