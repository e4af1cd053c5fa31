"""Only the registered model file is ever loaded."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import yaml

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.model_files import model_sha256, verified_model
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


def refused(registry: Versions, version: str, **options) -> str:
    """The text of the error that refuses a version."""
    with pytest.raises(RegistryError) as error, verified_model(registry.client, MODEL, version, **options):
        pytest.fail("a version that should be refused was handed out")
    assert f"{MODEL} version {version}" in str(error.value) or "scikit-learn" in str(error.value)
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
    with verified_model(versions.client, MODEL, version) as files:
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


def test_a_version_without_a_digest_is_refused_and_the_error_names_the_remedies(versions, forest):
    reason = refused(versions, versions.add(forest, verified=False))
    assert SHA256_TAG in reason
    assert "ALLOW_UNVERIFIED_CHAMPION=true" in reason


def test_a_version_without_a_digest_is_accepted_if_allowed(versions, forest):
    version = versions.add(forest, verified=False)
    with verified_model(versions.client, MODEL, version, allow_unverified=True) as files:
        assert (files / "model.pkl").exists()


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
