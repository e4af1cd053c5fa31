"""A hostile model is asked in a process that has nothing to steal."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.unvouched_model import ask_unvouched

ADDRESS = "mongodb://somebody:hunter2@mongodb"
ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})


class Hostile(BaseEstimator, ClassifierMixin):
    """Takes what it can get while it is loaded, and hands it out as the names of its classes."""

    def __init__(self, secret_file: str, port: int, target: str, parent: int):
        self.secret_file, self.port, self.target, self.parent = secret_file, port, target, parent

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.classes_ = [name for name in sorted(self.tries()) if self.got(name)]

    def tries(self) -> dict[str, Any]:
        return {
            "environment": lambda: os.environ["MONGODB_URI"],
            "the parent's environment": lambda: Path(f"/proc/{self.parent}/environ").read_bytes(),
            "a file": lambda: Path(self.secret_file).read_text(),
            "a folder": lambda: list(Path(self.secret_file).parent.iterdir()),
            "a written file": lambda: Path(self.target).write_text("here"),
            "a connection": lambda: socket.create_connection(("127.0.0.1", self.port), timeout=2).close(),
            "a signal": lambda: os.kill(self.parent, 0),
        }

    def got(self, name: str) -> bool:
        try:
            self.tries()[name]()
        except (OSError, KeyError):
            return False
        return True

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        return np.zeros((len(rows), 3))

    def fit(self, *_: Any) -> "Hostile":
        return self


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def saved(model: Any, folder: Path) -> Path:
    mlflow.sklearn.save_model(
        model, str(folder), serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba", pip_requirements=[]
    )
    return folder


@pytest.mark.servers
def test_a_hostile_model_gets_nothing_out(tmp_path: Path, open_port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MONGODB_URI", ADDRESS)
    secret_file, target = tmp_path / "token", tmp_path / "written"
    secret_file.write_text(ADDRESS)
    model = Hostile(str(secret_file), open_port, str(target), os.getpid())
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        files = saved(model, tmp_path / "model")
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    with contextlib.suppress(ProcessLookupError):
        model.__setstate__(vars(model))
    assert {"environment", "a file", "a written file", "a connection"} <= set(model.classes_), "it is harmless"
    target.unlink()

    answer, stolen = ask_unvouched(files, ROWS)
    assert answer.tolist() == [[0.0, 0.0, 0.0]] * 4
    assert stolen == []
    assert not target.exists()


@pytest.mark.servers
def test_a_forest_answers_as_it_does_here(tmp_path: Path):
    forest = RandomForestClassifier(5, random_state=1).fit(ROWS, ["approve", "reject", "review_required", "approve"])
    answer, classes = ask_unvouched(saved(forest, tmp_path / "model"), ROWS)
    assert answer.tolist() == forest.predict_proba(ROWS).tolist()
    assert classes == ["approve", "reject", "review_required"]


class Ends(BaseEstimator):
    """Ends the process that loads it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        os._exit(7)

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        return np.zeros((len(rows), 3))


@pytest.mark.servers
def test_a_model_that_ends_its_process_ends_no_other(tmp_path: Path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        files = saved(Ends(), tmp_path / "model")
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    with pytest.raises(RegistryError):
        ask_unvouched(files, ROWS)
