"""The MLflow server of the manifests starts on a new PostgreSQL database and answers to the names of its Service.

Command, environment and probes are those of its container.
"""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.manifests import K8S, STANDALONE, find, rendered
from tests.support.ports import free_port
from tests.support.postgres import USER, Postgres
from tests.support.processes import eventually
from tests.support.servers import SCRIPTS, end_group

NAMES = ("mlflow", "mlflow.mlflow", "mlflow.mlflow.svc", "mlflow.mlflow.svc.cluster.local")


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    return dict(find(rendered(STANDALONE), "Deployment", "mlflow")["spec"]["template"]["spec"])


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return dict(container)


PASSWORD = "letters4nd5igits"  # noqa: S105 - of a server on this machine that needs none


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Postgres:
    """A PostgreSQL in which the script of the manifests has created MLflow's user and database."""
    postgres.new_database("dagster")
    (script,) = find(rendered(STANDALONE), "ConfigMap", "nhm-postgresql-init")["data"].values()
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
    """Command and environment of a container, with the database and the mounted file on this machine."""
    in_cluster, local = "nhm-postgresql:5432", f"127.0.0.1:{database.port}"
    mounted, source = "/etc/mlflow/", f"{K8S}/components/mlflow/"
    program, *arguments = [word.replace(in_cluster, local).replace(mounted, source) for word in container["command"]]
    # A variable without a value gets the password from a Secret.
    values = {
        variable["name"]: "mlflow" if "fieldRef" in variable.get("valueFrom", {}) else variable.get("value", PASSWORD)
        for variable in container["env"]
    }
    # As Kubernetes does it.
    values = {
        name: value.replace("$(POD_NAMESPACE)", values.get("POD_NAMESPACE", "")) for name, value in values.items()
    }
    environment = {name: value.replace(in_cluster, local) for name, value in values.items()}
    assert environment["PGPASSWORD"] == PASSWORD
    return [str(SCRIPTS / program), *arguments], os.environ | environment


@pytest.fixture(scope="module")
def prepared(pod: dict[str, Any], database: Postgres) -> list[subprocess.CompletedProcess[str]]:
    """Results of the init container: on a new database, and again on the database that it created."""
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
    """Port of a server that has the container's command and environment, except for folder and port."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command, environment = command_and_environment(container, database)
    environment["MLFLOW_ARTIFACTS_DESTINATION"] = str(folder / "artifacts")
    command[command.index("5000")] = str(port)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        assert eventually(lambda: answer(port, "/health", "localhost") == 200), (folder / "log").read_text()
        yield port
    finally:
        end_group(server)


def answer(port: int, path: str, host: str) -> int | None:
    """HTTP status of a request with this Host header; None if nothing listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


REGISTRY = "/api/2.0/mlflow/registered-models/search?max_results=1"


@pytest.mark.slow
def test_the_init_container_can_run_twice_and_logs_no_password(
    prepared: list[subprocess.CompletedProcess[str]],
):
    output = "".join(done.stdout + done.stderr for done in prepared)
    assert [done.returncode for done in prepared] == [0, 0], output
    assert PASSWORD not in output


@pytest.mark.slow
def test_it_answers_to_every_name_of_its_service(port: int):
    hosts = [*NAMES, *(f"{name}:5000" for name in NAMES)]
    assert {host: answer(port, REGISTRY, host) for host in hosts} == dict.fromkeys(hosts, 200)


@pytest.mark.slow
def test_it_answers_its_own_probes(port: int, container: dict[str, Any]):
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]["httpGet"]
        headers = {header["name"]: header["value"] for header in probe.get("httpHeaders", [])}
        assert answer(port, probe["path"], headers.get("Host", "10.1.2.3:5000")) == 200, kind


@pytest.mark.slow
def test_it_refuses_other_names_while_its_health_stays_green(port: int):
    """So readiness asks the registry: a server that refuses its clients would look healthy."""
    assert answer(port, REGISTRY, "mlflow.elsewhere.example.org") == 403
    assert answer(port, "/health", "mlflow.elsewhere.example.org") == 200


def test_the_settings_name_the_server_by_its_service():
    manifests = rendered(STANDALONE)
    service = find(manifests, "Service", "mlflow")
    uri = find(manifests, "ConfigMap", "nhm-settings")["data"]["MLFLOW_TRACKING_URI"]
    assert uri == f"http://{NAMES[-1]}:{service['spec']['ports'][0]['port']}"
