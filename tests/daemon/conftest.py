"""Fixture: a platform with the real daemon, on each of the two instances that are deployed."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import DaemonPlatform
from tests.support.daemon_instance import daemon_platform
from tests.support.processes import ROOT

NewPlatform = Callable[..., DaemonPlatform]

ON_POSTGRES_LESS_OFTEN = pytest.mark.parametrize(
    "new_platform", ["local", pytest.param("postgres", marks=pytest.mark.exhaustive)], indirect=True
)
ON_SQLITE_LESS_OFTEN = pytest.mark.parametrize(
    "new_platform", [pytest.param("local", marks=pytest.mark.exhaustive), "postgres"], indirect=True
)
"""For tests of some minutes: only `make test-exhaustive` runs them on both instances."""


@pytest.fixture(params=["local", pytest.param("postgres", marks=pytest.mark.slow)])
def new_platform(
    request: pytest.FixtureRequest, tmp_path: Path, mongod_uri: str, migrated_mlflow: Path
) -> Iterator[NewPlatform]:
    """Creates a platform with the settings that a test gives; its instance is `deploy/local` or `deploy/postgres`."""
    variables = {}
    if request.param == "postgres":
        variables = request.getfixturevalue("postgres").new_database(f"dagster_{uuid.uuid4().hex[:12]}")
    shutil.copytree(migrated_mlflow, tmp_path / "nhm" / "mlflow")
    instance_file = ROOT / "deploy" / request.param / "dagster.yaml"
    with ExitStack() as stack:

        def create(
            *,
            mongod_uri: str = mongod_uri,
            module: str = "nhm_assets.definitions",
            start_timeout_s: int = 180,
            **settings: Any,
        ) -> DaemonPlatform:
            options = {"module": module, "start_timeout_s": start_timeout_s, **settings}
            return stack.enter_context(daemon_platform(tmp_path, mongod_uri, instance_file, variables, **options))

        yield create
