"""The MLflow server of the manifests, started as its container says, on a database made as PostgreSQL's does.

It answers under the names of its Service.
"""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.manifests import PRODUCTION, find, rendered
from tests.support.ports import free_port
from tests.support.postgres import USER, Postgres
from tests.support.processes import eventually
from tests.support.servers import SCRIPTS, end_group

NAMES = ("mlflow", "mlflow.mlflow", "mlflow.mlflow.svc", "mlflow.mlflow.svc.cluster.local")


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    return dict(find(rendered(PRODUCTION), "Deployment", "mlflow")["spec"]["template"]["spec"])


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return dict(found)


PASSWORD = "letters4nd5igits"  # noqa: S105 - of a server on this machine that asks for none


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Postgres:
    """A PostgreSQL in which the script of the manifests has made MLflow's user and database."""
    postgres.new_database("dagster")
    (script,) = find(rendered(PRODUCTION), "ConfigMap", "postgresql-init")["data"].values()
    variables = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "POSTGRES_USER": USER,
        "MLFLOW_PG_PASSWORD": PASSWORD,
        "PATH": f"{postgres.programs}:{os.environ['PATH']}",
    }
    subprocess.run(["sh"], input=script, text=True, check=True, capture_output=True, env=os.environ | variables)
    return postgres


def command_and_environment(container: dict[str, Any], database: Postgres) -> tuple[list[str], dict[str, str]]:
    """What a container starts, with the database that is on this machine."""
    address, here = "postgresql.mlflow.svc.cluster.local:5432", f"127.0.0.1:{database.port}"
    program, *arguments = [word.replace(address, here) for word in container["command"]]
    # What has no value of its own is the Secret's.
    environment = {one["name"]: one.get("value", PASSWORD).replace(address, here) for one in container["env"]}
    assert environment["PGPASSWORD"] == PASSWORD
    return [str(SCRIPTS / program), *arguments], os.environ | environment


@pytest.fixture(scope="module")
def prepared(pod: dict[str, Any], database: Postgres) -> list[subprocess.CompletedProcess[str]]:
    """What the container that goes before the server came to, on a new database and on its own work."""
    (container,) = pod["initContainers"]
    command, environment = command_and_environment(container, database)
    return [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        for _ in range(2)
    ]


@pytest.fixture(scope="module")
def port(
    container: dict[str, Any], database: Postgres, prepared: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Where the server listens: the container's command and environment, but for host, folder and port."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command, environment = command_and_environment(container, database)
    environment["MLFLOW_ARTIFACTS_DESTINATION"] = str(folder / "artifacts")
    command[command.index("5000")] = str(port)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        assert eventually(lambda: answer(port, "/health", "localhost") == 200, within_s=90), (
            folder / "log"
        ).read_text()
        yield port
    finally:
        end_group(server)


def answer(port: int, path: str, host: str) -> int | None:
    """The status of an answer to a request for that host; None where nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


REGISTRY = "/api/2.0/mlflow/registered-models/search?max_results=1"


@pytest.mark.slow
def test_its_database_is_made_and_made_again_without_harm_and_without_a_password_in_the_log(
    prepared: list[subprocess.CompletedProcess[str]],
):
    said = "".join(done.stdout + done.stderr for done in prepared)
    assert [done.returncode for done in prepared] == [0, 0], said
    assert PASSWORD not in said


@pytest.mark.slow
def test_it_answers_under_every_name_of_its_service(port: int):
    hosts = [*NAMES, *(f"{name}:5000" for name in NAMES)]
    assert {host: answer(port, REGISTRY, host) for host in hosts} == dict.fromkeys(hosts, 200)


@pytest.mark.slow
def test_it_answers_its_own_probes(port: int, container: dict[str, Any]):
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]["httpGet"]
        headers = {one["name"]: one["value"] for one in probe.get("httpHeaders", [])}
        assert answer(port, probe["path"], headers.get("Host", "10.1.2.3:5000")) == 200, kind


@pytest.mark.slow
def test_it_refuses_any_other_name_while_its_health_stays_green(port: int):
    """Why readiness asks the registry: a server that refuses its clients would look well."""
    assert answer(port, REGISTRY, "mlflow.elsewhere.example.org") == 403
    assert answer(port, "/health", "mlflow.elsewhere.example.org") == 200


def test_the_settings_name_the_server_by_its_service():
    manifests = rendered(PRODUCTION)
    service = find(manifests, "Service", "mlflow")
    uri = find(manifests, "ConfigMap", "nhm-settings")["data"]["MLFLOW_TRACKING_URI"]
    assert uri == f"http://{NAMES[-1]}:{service['spec']['ports'][0]['port']}"
