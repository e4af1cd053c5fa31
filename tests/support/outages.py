"""Services that a test takes away and brings back: MongoDB, MLflow, Dagster's PostgreSQL and the API server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from nhm_assets.domain.specialists import FIVE
from tests.support.kube import deployment, namespace, shared_control_plane
from tests.support.mongod import OwnMongod, lone_mongod
from tests.support.postgres import Postgres
from tests.support.proxies import Proxy, proxy_to
from tests.support.rollouts import cluster_settings
from tests.support.servers import mlflow_server
from tests.support.specialists import answering, status


@dataclass(frozen=True)
class Service:
    """A service of the platform. `stop` takes it away at once, without a word; `start` brings it back as it was."""

    name: str
    stop: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[OwnMongod]:
    with lone_mongod(tmp_path / "mongod") as server:
        yield server


@pytest.fixture
def mlflow_proxy(tmp_path: Path) -> Iterator[Proxy]:
    with mlflow_server(tmp_path / "mlflow") as address, proxy_to(int(address.rsplit(":", 1)[1])) as proxy:
        yield proxy


@pytest.fixture
def dagsters_database(request: pytest.FixtureRequest) -> Postgres | None:
    """The database server of the instance; None where the instance is on SQLite."""
    is_postgres = "postgres" in request.node.callspec.params.values()
    return request.getfixturevalue("postgres") if is_postgres else None


@contextmanager
def api_server_behind_a_proxy(kubeconfig: Path, folder: Path) -> Iterator[tuple[Path, Proxy]]:
    """A kubeconfig that reaches the same API server through a proxy."""
    access = yaml.safe_load(kubeconfig.read_text())
    cluster = access["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    with proxy_to(int(address.port or 443)) as proxy:
        cluster["server"] = f"{address.scheme}://127.0.0.1:{proxy.port}"
        path = folder / "through-the-proxy.kubeconfig"
        path.write_text(yaml.safe_dump(access))
        yield path, proxy


@pytest.fixture
def five_specialists(
    request: pytest.FixtureRequest, shared_folder: Path, tmp_path: Path
) -> Iterator[tuple[dict[str, Any], Proxy]]:
    """A cluster with the five specialists: the settings for it, and the proxy to its API server."""
    scripts = request.getfixturevalue("control_plane_scripts")
    with (
        shared_control_plane(scripts, shared_folder / "kubernetes") as kubeconfig,
        namespace(kubeconfig) as specialists,
        answering(status()) as answers,
        api_server_behind_a_proxy(kubeconfig, tmp_path) as (access, proxy),
    ):
        for name in FIVE:
            specialists.add(deployment(f"specialist-{name}"))
        settings = cluster_settings(specialists, specialist_status_url=answers.status_url)
        yield settings | {"kubeconfig": access}, proxy
