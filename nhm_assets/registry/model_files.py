"""The files of a registered model, verified before the platform loads them.

Loading a model runs code from its file. So the file must be the registered one: the audit log has its SHA-256. (The tag
of the version has it too, but whoever can replace the file can replace the tag.)
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nhm_assets.domain.class_order import ClassOrder, class_order
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.audit_log import AUDIT_LOG, Document, registration
from nhm_assets.registry.versions import absence, version_if_any
from nhm_assets.registry.vocabulary import CLASSES_TAG, SHA256_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.pyfunc import PyFuncModel
    from pymongo.collection import Collection

_LOADER = "mlflow.sklearn"


@contextmanager
def verified_model(
    client: "MlflowClient", log: "Collection[Document]", model: str, version: str, *, allow_unverified: bool = False
) -> Iterator[Path]:
    """A folder with the verified files of a version; it exists until the body ends.

    Args:
        client: of the registry.
        log: the audit log.
        model: name of the registered model.
        version: number of the version.
        allow_unverified: accept a version that this platform did not register; a wrong digest is never accepted.

    Raises:
        RegistryError: the version or its files are missing, the model file is not the registered one, or it cannot be
            verified.
    """
    found = version_if_any(client, model, version)
    if found is None:
        raise RegistryError(absence(client, model, version))
    entry, tag = registration(log, model, version), found.tags.get(SHA256_TAG)
    if entry is None and not allow_unverified:
        raise RegistryError(
            f"the file of {model} version {version} cannot be verified, because this platform did not register it (it"
            f" has no entry in {AUDIT_LOG}). To load it nevertheless, set ALLOW_UNVERIFIED_CHAMPION=true"
        )
    # Entries of earlier releases have no digest.
    expected = (entry or {}).get("sha256") or tag
    with _files(model, version) as files:
        actual = model_sha256(files)
        if expected is not None and actual != expected:
            raise RegistryError(
                f"the file of {model} version {version} was replaced: its SHA-256 is {actual}, but {expected} was"
                " registered. Do not load it. Archive the version and train again with FORCE_RETRAIN=true"
            )
        yield files


def differences(model: str, version: str) -> list[str]:
    """Where a version from elsewhere differs from ours, as far as its description tells; nothing is loaded."""
    from mlflow.models import Model

    try:
        with _files(model, version) as files:
            described = Model.load(str(files))
    except RegistryError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001 - a file from elsewhere may hold anything
        return [f"its MLmodel cannot be read ({error})"]
    pyfunc = described.flavors.get("python_function", {})
    found = []
    if pyfunc.get("loader_module") != _LOADER:
        found.append(f"it is no scikit-learn model (its loader is {pyfunc.get('loader_module')})")
    elif pyfunc.get("predict_fn", "predict") != "predict_proba":
        found.append(f"it answers with {pyfunc.get('predict_fn', 'predict')} instead of predict_proba")
    columns = described.signature.inputs.input_names() if described.signature and described.signature.inputs else []
    if columns != list(FEATURE_NAMES):
        found.append(f"its {len(columns)} columns are not the 26 features" if columns else "it names no columns")
    return found


@dataclass(frozen=True)
class _Contents:
    """The files that a model is loaded from. Two with the same contents are equal, wherever they are."""

    digest: str
    folder: Path = field(compare=False)


def loaded_model(files: Path) -> "PyFuncModel":
    """The model in a folder of `verified_model`. The same files are loaded once: the next caller gets the same model.

    Raises:
        Exception: whatever a model that cannot be loaded raises.
    """
    described = hashlib.sha256((files / "MLmodel").read_bytes()).hexdigest()
    return _load(_Contents(f"{described} {model_sha256(files)}", files))


# Loading takes longer than predicting. A run asks for the candidate three times, and for the champion once.
@lru_cache(maxsize=2)
def _load(contents: _Contents) -> "PyFuncModel":
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(contents.folder))


@contextmanager
def _files(model: str, version: str) -> Iterator[Path]:
    """A folder with the files of a version; it exists until the body ends.

    Raises:
        RegistryError: there are no files. If the service does not answer, its error passes.
    """
    import mlflow.artifacts

    with tempfile.TemporaryDirectory(prefix="nhm-model-") as folder:
        try:
            files = Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder))
            if not (files / "MLmodel").is_file():
                raise FileNotFoundError("there is no MLmodel")
        except Exception as error:
            if _is_outage(error):
                raise
            reason = str(error).splitlines()[0][:200]
            raise RegistryError(f"{model} version {version} has no files that can be read ({reason})") from error
        yield files


def _is_outage(error: Exception) -> bool:
    """Whether a service failed or refused us, so that this says nothing about the version."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import HTTPError

    if isinstance(error, HTTPError) and error.response is not None:
        return error.response.status_code != HTTPStatus.NOT_FOUND
    if isinstance(error, MlflowException):
        # Its other errors are about the version: an address that nobody can read, a folder that is not there.
        return "API request to" in str(error) or "OperationalError" in str(error)
    return not isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)


def order_of_classes(
    client: "MlflowClient", model: str, version: str, classes: Sequence[Any] | None
) -> ClassOrder | None:
    """The order of a version's probability columns; None if its classes are not ours, or unknown.

    The estimator of the version says it itself, as `classes_`. Only where it does not, the tag of the version counts.
    """
    if classes is None:
        classes = client.get_model_version(model, version).tags.get(CLASSES_TAG, "").split(",")
    return class_order(classes)


def classes_of(estimator: Any) -> list[Any] | None:
    """The classes that an estimator names; None if it names none."""
    classes = getattr(estimator, "classes_", None)
    return None if classes is None else list(np.asarray(classes).tolist())


def model_sha256(files: Path) -> str:
    """SHA-256, in hex, of the model file that `mlflow.sklearn` loads from this folder; see `model_file`."""
    return hashlib.sha256(model_file(files).read_bytes()).hexdigest()


def model_file(files: Path) -> Path:
    """The model file that `mlflow.sklearn` loads from this folder.

    Raises:
        RegistryError: the folder holds no scikit-learn model of MLflow, or one that loads more than its model file.
    """
    from mlflow.models import Model

    try:
        flavors = Model.load(str(files)).flavors
    except Exception as error:
        raise RegistryError(f"{files.name} is not a model of MLflow ({error}): do not load it") from error
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
    if not (files / pickled).is_file():
        raise RegistryError(f"the scikit-learn model {files.name} lacks its model file {pickled}: do not load it")
    return files / str(pickled)
