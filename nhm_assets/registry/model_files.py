"""The files of a registered model, verified before the platform loads them.

Loading a model runs code from its file. So the file must be the registered one: its SHA-256 is a tag of the version.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.class_order import ClassOrder, class_order
from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.vocabulary import CLASSES_TAG, SHA256_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOADER = "mlflow.sklearn"


@contextmanager
def verified_model(
    client: "MlflowClient", model: str, version: str, *, allow_unverified: bool = False
) -> Iterator[Path]:
    """A folder with the verified files of a version; it exists until the body ends.

    Args:
        client: of the registry.
        model: name of the registered model.
        version: number of the version.
        allow_unverified: accept a version without a digest; a wrong digest is never accepted.

    Raises:
        RegistryError: the model file is not the registered one, or cannot be verified.
    """
    import mlflow.artifacts

    expected = client.get_model_version(model, version).tags.get(SHA256_TAG)
    if expected is None and not allow_unverified:
        raise RegistryError(
            f"{model} version {version} has no tag {SHA256_TAG}, so its file cannot be verified. Set that tag"
            " to the SHA-256 of a model file that you trust, or set ALLOW_UNVERIFIED_CHAMPION=true until it is replaced"
        )
    with tempfile.TemporaryDirectory(prefix="nhm-model-") as folder:
        files = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model}/{version}", dst_path=folder))
        if expected is not None:
            actual = model_sha256(files)
            if actual != expected:
                raise RegistryError(
                    f"the file of {model} version {version} was replaced: its SHA-256 is {actual}, but {expected} was"
                    " registered. Do not load it. Archive the version and train again with FORCE_RETRAIN=true"
                )
        yield files


def order_of_classes(client: "MlflowClient", model: str, version: str, estimator: Any) -> ClassOrder | None:
    """The order of a version's probability columns; None if its classes are not ours, or unknown.

    The estimator of the version says it itself, as `classes_`. Only where it does not, the tag of the version counts.
    """
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        classes = client.get_model_version(model, version).tags.get(CLASSES_TAG, "").split(",")
    return class_order(classes)


def model_sha256(files: Path) -> str:
    """SHA-256, in hex, of the model file that `mlflow.sklearn` loads from this folder.

    Raises:
        RegistryError: the folder holds no scikit-learn model of MLflow, or one that loads more than its model file.
    """
    from mlflow.models import Model

    flavors = Model.load(str(files)).flavors
    pyfunc, sklearn = flavors.get("python_function", {}), flavors.get("sklearn", {})
    loader, pickled = pyfunc.get("loader_module"), sklearn.get("pickled_model")
    if loader != _LOADER or pickled is None:
        raise RegistryError(
            f"{files.name} is not a scikit-learn model of MLflow (its loader is {loader}): do not load it"
        )
    if pyfunc.get("model_path") != pickled or pyfunc.get("data") or pyfunc.get("code") or sklearn.get("code"):
        raise RegistryError(
            f"the scikit-learn model {files.name} loads more than its model file {pickled}: do not load it"
        )
    return hashlib.sha256((files / pickled).read_bytes()).hexdigest()
