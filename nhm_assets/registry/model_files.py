"""A registered model's files, verified before anything here loads them.

Loading a model runs code that its file holds. So the file must be the one that was registered: its
SHA-256 stands as a tag of the version.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.vocabulary import SHA256_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOADER = "mlflow.sklearn"


@contextmanager
def verified_model(
    client: "MlflowClient", model: str, version: str, *, allow_unverified: bool = False
) -> Iterator[Path]:
    """A folder with the files of a version, for as long as the body runs.

    Args:
        client: of the registry.
        model: name of the registered model.
        version: its number.
        allow_unverified: accept a version that carries no digest; a wrong digest is never accepted.

    Raises:
        RegistryError: the model file is not the one that was registered, or cannot be verified.
    """
    import mlflow.artifacts

    wanted = client.get_model_version(model, version).tags.get(SHA256_TAG)
    if wanted is None and not allow_unverified:
        raise RegistryError(
            f"{model} version {version} carries no tag {SHA256_TAG}, so its file cannot be verified: set that tag"
            " to the SHA-256 of a model file you trust, or set ALLOW_UNVERIFIED_CHAMPION=true until it is replaced"
        )
    with tempfile.TemporaryDirectory(prefix="nhm-model-") as folder:
        files = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model}/{version}", dst_path=folder))
        if wanted is not None:
            found = model_sha256(files)
            if found != wanted:
                raise RegistryError(
                    f"the file of {model} version {version} has SHA-256 {found}, registered was {wanted}: somebody"
                    " replaced it. Do not load it; archive the version and train again with"
                    " FORCE_RETRAIN=true"
                )
        yield files


def model_sha256(files: Path) -> str:
    """SHA-256, in hex, of the model file that `mlflow.sklearn` would load from this folder.

    Raises:
        RegistryError: the folder is not one of an MLflow scikit-learn model.
    """
    from mlflow.models import Model

    flavors = Model.load(str(files)).flavors
    pyfunc, sklearn = flavors.get("python_function", {}), flavors.get("sklearn", {})
    loader, pickled = pyfunc.get("loader_module"), sklearn.get("pickled_model")
    if loader != _LOADER or pickled is None:
        raise RegistryError(f"{files.name} is no scikit-learn model of MLflow (it loads by {loader})")
    if pyfunc.get("model_path") != pickled or pyfunc.get("data") or pyfunc.get("code") or sklearn.get("code"):
        raise RegistryError(
            f"the scikit-learn model {files.name} would load more than its model file {pickled}: do not load it"
        )
    return hashlib.sha256((files / pickled).read_bytes()).hexdigest()
