"""Only the registered model file is ever loaded."""

import hashlib
import os
import pickle
import shutil
from pathlib import Path

import mlflow.artifacts
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from requests import HTTPError, Response

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.model_files import loaded_model, model_sha256, verified_model
from nhm_assets.registry.vocabulary import SHA256_TAG
from tests.support import versions as support
from tests.support.versions import MODEL, Versions, small_forest

versions = support.versions


@pytest.fixture(scope="module")
def forest():
    return small_forest()


class Marks:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def http_error(status: int) -> HTTPError:
    """The error of a server that answers with this status."""
    response = Response()
    response.status_code = status
    return HTTPError(str(status), response=response)


def refused(registry: Versions, version: str, **options) -> str:
    """The text of the error that refuses a version."""
    with (
        pytest.raises(RegistryError) as error,
        verified_model(registry.client, registry.log, MODEL, version, **options),
    ):
        pytest.fail("a version that should be refused was handed out")
    assert f"{MODEL} version {version}" in str(error.value) or any(
        words in str(error.value) for words in ("scikit-learn", "is not a model of MLflow")
    )
    return str(error.value)


def change_flavors(files: Path, **flavors) -> None:
    """Change these flavors in MLmodel."""
    path = files / "MLmodel"
    described = yaml.safe_load(path.read_text())
    for name, changes in flavors.items():
        described["flavors"][name] |= changes
    path.write_text(yaml.safe_dump(described))


def test_the_registered_file_exists_until_the_body_ends(versions, forest):
    version = versions.add(forest)
    with verified_model(versions.client, versions.log, MODEL, version) as files:
        assert (files / "model.pkl").read_bytes() == (versions.files(version) / "model.pkl").read_bytes()
    assert not files.exists()


def test_the_digest_is_that_of_the_model_file(versions, forest):
    files = versions.files(versions.add(forest))
    assert model_sha256(files) == hashlib.sha256((files / "model.pkl").read_bytes()).hexdigest()


@pytest.mark.parametrize("allow_unverified", [False, True])
def test_a_replaced_file_is_always_refused(versions, forest, allow_unverified):
    version = versions.add(forest)
    (versions.files(version) / "model.pkl").write_bytes(pickle.dumps("another"))
    assert "was replaced" in refused(versions, version, allow_unverified=allow_unverified)


@pytest.mark.parametrize("allow_unverified", [False, True])
def test_a_file_and_a_tag_that_were_replaced_together_are_refused(versions, forest, allow_unverified):
    """Whoever can write the file can write the tag; the digest in the audit log decides."""
    version = versions.add(forest)
    files = versions.files(version)
    (files / "model.pkl").write_bytes(pickle.dumps("another"))
    versions.client.set_model_version_tag(MODEL, version, SHA256_TAG, model_sha256(files))
    assert "was replaced" in refused(versions, version, allow_unverified=allow_unverified)


def test_an_entry_of_an_earlier_release_has_no_digest_so_the_tag_counts(versions, forest):
    version = versions.add(forest)
    versions.record(version)
    with verified_model(versions.client, versions.log, MODEL, version) as files:
        assert (files / "model.pkl").exists()
    (versions.files(version) / "model.pkl").write_bytes(pickle.dumps("another"))
    assert "was replaced" in refused(versions, version)


@pytest.mark.parametrize("tagged", [False, True])
def test_a_version_that_the_platform_did_not_register_is_refused_unless_allowed(versions, forest, tagged):
    """Its tags may be a copy of ours."""
    version = versions.add(forest, verified=False)
    if tagged:
        versions.client.set_model_version_tag(MODEL, version, SHA256_TAG, model_sha256(versions.files(version)))
    reason = refused(versions, version)
    assert "model_audit_log" in reason
    assert "ALLOW_UNVERIFIED_CHAMPION=true" in reason
    with verified_model(versions.client, versions.log, MODEL, version, allow_unverified=True) as files:
        assert (files / "model.pkl").exists()


@pytest.mark.parametrize("gone", ["MLmodel", "model.pkl", "all"])
def test_a_version_without_files_is_refused_in_words(versions, forest, gone):
    version = versions.add(forest)
    files = versions.files(version)
    if gone == "all":
        shutil.rmtree(files)
    else:
        (files / gone).unlink()
    assert ("lacks its model file" if gone == "model.pkl" else "has no files") in refused(versions, version)


def test_a_version_that_does_not_exist_is_refused_in_words(versions):
    with (
        pytest.raises(RegistryError, match=f"{MODEL} has no version '99'"),
        verified_model(versions.client, versions.log, MODEL, "99"),
    ):
        pytest.fail("a version that does not exist was handed out")


@pytest.mark.parametrize("address", ["dbfs:/models/x", "mlflow-artifacts:/x/y", "https://nowhere"])
def test_a_version_at_a_place_that_nobody_can_read_has_no_files(versions, address):
    version = str(versions.client.create_model_version(MODEL, address).version)
    versions.record(version, sha256="0" * 64)
    assert "has no files that can be read" in refused(versions, version)


def test_an_mlmodel_that_cannot_be_read_is_refused_in_words(versions, forest):
    version = versions.add(forest)
    (versions.files(version) / "MLmodel").write_text("flavors: [")
    assert "is not a model of MLflow" in refused(versions, version)


@pytest.mark.parametrize(
    ("error", "about_the_service"),
    [
        (MlflowException("API request to http://x failed with exception: timed out"), True),
        (MlflowException("(sqlite3.OperationalError) database is locked"), True),
        (MlflowException("No such artifact", RESOURCE_DOES_NOT_EXIST), False),
        (http_error(503), True),
        (http_error(403), True),
        (http_error(404), False),
        (ConnectionError("refused"), True),
        (PermissionError("denied"), True),
        (FileNotFoundError("gone"), False),
    ],
    ids=str,
)
def test_an_outage_says_nothing_about_the_version(versions, forest, monkeypatch, error, about_the_service):
    version = versions.add(forest)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    expected = type(error) if about_the_service else RegistryError
    with pytest.raises(expected), verified_model(versions.client, versions.log, MODEL, version):
        pytest.fail("there are no files")


def test_a_model_that_another_library_loads_is_refused(versions, forest):
    version = versions.add(forest)
    change_flavors(versions.files(version), python_function={"loader_module": "mlflow.pyfunc.model"})
    assert "mlflow.pyfunc.model" in refused(versions, version)


def test_a_model_without_the_scikit_learn_flavor_is_refused(versions, forest):
    version = versions.add(forest)
    path = versions.files(version) / "MLmodel"
    described = yaml.safe_load(path.read_text())
    del described["flavors"]["sklearn"]
    path.write_text(yaml.safe_dump(described))
    assert "is not a scikit-learn model" in refused(versions, version)


@pytest.mark.parametrize("key", ["model_path", "data"])
def test_a_model_whose_pyfunc_loads_another_file_than_the_verified_one_is_refused(versions, forest, tmp_path, key):
    """The digest is of the right file, but the pyfunc of MLflow loads another one."""
    version = versions.add(forest)
    files = versions.files(version)
    (files / "other.pkl").write_bytes(pickle.dumps(Marks(tmp_path / "mark")))
    change_flavors(files, python_function={key: "other.pkl"})
    refused(versions, version)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("flavor", ["python_function", "sklearn"])
def test_a_model_with_code_of_its_own_is_refused(versions, forest, flavor):
    """MLflow puts the folder of this code on the import path before it loads the model."""
    version = versions.add(forest)
    (versions.files(version) / "code").mkdir()
    change_flavors(versions.files(version), **{flavor: {"code": "code"}})
    refused(versions, version)


def test_the_same_files_are_loaded_once_wherever_they_are(versions, forest):
    version = versions.add(forest)
    loaded = []
    for _ in range(2):
        with verified_model(versions.client, versions.log, MODEL, version) as files:
            loaded.append((files, loaded_model(files)))
    assert loaded[0][0] != loaded[1][0]
    assert loaded[0][1] is loaded[1][1]


@pytest.mark.parametrize("other", [{"pyfunc_predict_fn": "predict"}, {"model": small_forest(seed=3)}])
def test_files_that_differ_are_loaded_again(versions, forest, other):
    """Also if only the description of the model differs: it says what the model answers."""
    first, second = versions.add(forest), versions.add(**{"model": forest} | other)
    with verified_model(versions.client, versions.log, MODEL, first) as files:
        before = loaded_model(files)
    with verified_model(versions.client, versions.log, MODEL, second) as files:
        assert loaded_model(files) is not before


def test_a_file_that_was_replaced_is_refused_although_it_was_loaded_before(versions, forest):
    version = versions.add(forest)
    with verified_model(versions.client, versions.log, MODEL, version) as files:
        loaded_model(files)
    (versions.files(version) / "model.pkl").write_bytes(b"another")
    assert "was replaced" in refused(versions, version)
