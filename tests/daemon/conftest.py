"""Fixtures: a platform that nobody tends, on each of the two instances that are deployed."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Unattended, unattended
from tests.support.processes import ROOT

NewPlatform = Callable[..., Unattended]


@pytest.fixture(params=["local", "postgres"])
def new_platform(
    request: pytest.FixtureRequest, tmp_path: Path, mongod_uri: str, migrated_mlflow: Path
) -> Iterator[NewPlatform]:
    """Makes a platform with the settings that a test gives, on the instance in `deploy/local` or `deploy/postgres`."""
    variables = {}
    if request.param == "postgres":
        variables = request.getfixturevalue("postgres").new_database(f"dagster_{uuid.uuid4().hex[:12]}")
    shutil.copytree(migrated_mlflow, tmp_path / "nhm" / "mlflow")
    file = ROOT / "deploy" / request.param / "dagster.yaml"
    with ExitStack() as made:

        def make(
            *,
            mongod_uri: str = mongod_uri,
            module: str = "nhm_assets.definitions",
            start_timeout_s: int = 180,
            **settings: Any,
        ) -> Unattended:
            place = {"module": module, "start_timeout_s": start_timeout_s}
            return made.enter_context(unattended(tmp_path, mongod_uri, file, variables, **place, **settings))

        yield make
