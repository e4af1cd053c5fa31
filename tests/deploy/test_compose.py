"""The compose file: it fits the specification, and its commands work.

No container engine is here, so the commands run as processes. What only an engine can show is not tested: that the
images are there, and that the volumes keep the data.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from nhm_assets.settings import Settings
from resources.embedded_mongo import find_mongod
from tests.support.daemon import becomes_true
from tests.support.nhm import environment
from tests.support.ports import free_port
from tests.support.postgres import Postgres, postgres_server
from tests.support.processes import ROOT
from tests.support.servers import SCRIPTS, end_group
from tests.support.webserver import Webserver

FOLDER = ROOT / "deploy/compose"
FILE = FOLDER / "compose.yaml"
OVERLAY = yaml.safe_load((ROOT / "k8s/overlays/production/kustomization.yaml").read_text())
PORTS = {"mongodb": 27017, "postgresql": 5432, "mlflow": 5000, "code-location": 4000, "webserver": 3000}
OF_OTHERS = re.compile(r"MLFLOW_|POSTGRES_|DAGSTER_PG_")


def services() -> dict[str, dict[str, Any]]:
    """The services, with every variable of the file at its default."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text())
    return dict(yaml.safe_load(text)["services"])


def fits_the_specification(file: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_file_fits_the_compose_specification():
    assert fits_the_specification(FILE)


def test_a_wrong_key_does_not_fit_it(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("depends_on:", "depend_on:", 1))
    assert not fits_the_specification(wrong)


def test_every_part_of_the_platform_is_a_service_and_waits_only_for_services():
    assert set(services()) == {*PORTS, "daemon"}
    for name, service in services().items():
        assert set(service.get("depends_on", ())) <= set(services()), name


def test_images_are_those_of_the_manifests():
    tags = {image["name"]: image["newTag"] for image in OVERLAY["images"]}
    images = {service["image"] for service in services().values()}
    assert {f"{name}:{tags[name]}" for name in ("nhm-assets", "postgres")} < images
    assert all(re.fullmatch(r"[a-z-]+:\d+\.\d+(\.\d+)?", image) for image in images)


def test_nothing_listens_beyond_this_machine():
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_mounted_file_exists():
    mounts = [mount for service in services().values() for mount in service.get("volumes", ()) if mount[0] == "."]
    assert len(mounts) > 2
    assert [mount for mount in mounts if not (FOLDER / mount.split(":")[0]).is_file()] == []


def test_every_variable_is_a_setting_or_one_of_the_services():
    names = {name for service in services().values() for name in service.get("environment", ())}
    known = {name.upper() for name in Settings.model_fields} | {"DAGSTER_HOME"}
    assert {name for name in names - known if not OF_OTHERS.match(name)} == set()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server without the databases of other tests, because the compose file says what the databases are called."""
    with postgres_server() as server:
        yield server


@pytest.mark.servers
@pytest.mark.exhaustive
def test_the_commands_bring_up_a_platform_that_retrains(tmp_path: Path, own_postgres: Postgres):
    own_postgres.new_database("mlflow")
    login = own_postgres.new_database("compose")
    ports = {name: free_port() for name in PORTS} | {"postgresql": own_postgres.port}
    with running(tmp_path, ports, login) as variables:
        ready = [
            lambda: requests.get(f"http://127.0.0.1:{ports['mlflow']}/version", timeout=5).ok,
            Webserver(ports["webserver"]).is_ready,
            lambda: has_a_daemon(ports["webserver"]),
        ]
        for condition in ready:
            assert becomes_true(lambda asked=condition: answers(asked)), log(tmp_path)
        for words in documented_commands():
            # One specialist shows it.
            only = ["--specialist", "technical"] if "retrain" in words else []
            done = subprocess.run(
                [SCRIPTS / words[0], *words[1:], *only], env=variables, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stdout.decode() + done.stderr.decode() + log(tmp_path)
        # Where the sensor on new feedback was faster, it has promoted a version of the running week before.
        assert {b"promoted", b"superseded"} & set(done.stdout.split()), done.stdout.decode()


def documented_commands() -> list[list[str]]:
    """What docs/operations.md tells to execute in the code location's container."""
    found = re.findall(r"exec code-location (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert [words.split()[:2] for words in found] == [["nhm", "seed"], ["nhm", "retrain"]]
    return [words.split() for words in found]


def answers(condition: Any) -> bool:
    try:
        return bool(condition())
    except requests.RequestException:
        return False


def has_a_daemon(port: int) -> bool:
    """Whether the webserver sees that every daemon lives."""
    query = "{ instance { daemonHealth { allDaemonStatuses { healthy required } } } }"
    answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=30).json()
    statuses = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(one["healthy"] for one in statuses if one["required"])


def log(folder: Path) -> str:
    return "\n".join(f"{file.name}:\n{file.read_text()[-2000:]}" for file in folder.glob("*.log"))


@contextmanager
def running(folder: Path, ports: Mapping[str, int], login: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Each service as a process, in the order of the file. Hosts, ports and folders are those of this machine.

    Yields the variables of the code location.
    """
    of_services = {}
    home = folder / "opt/dagster/dagster_home"
    for path in (home, folder / "var/lib/nhm-storage", folder / "var/lib/mlflow", folder / "data/db"):
        path.mkdir(parents=True)
    (home / "dagster.yaml").write_text((FOLDER / "../postgres/dagster.yaml").read_text())
    (home / "workspace.yaml").write_text(here((FOLDER / "workspace.yaml").read_text(), folder, ports))
    with ExitStack() as stack:
        for name, service in services().items():
            if name == "postgresql":
                continue
            given = {key: here(value, folder, ports) for key, value in service.get("environment", {}).items()}
            own = {key: value for key, value in login.items() if key in given}
            of_services[name] = environment() | given | own | {"PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"]}
            words = command(name, service, folder, ports)
            stack.enter_context(process(folder / f"{name}.log", words, of_services[name]))
            # Its own health check asks with `depends_on`; a mongod needs a moment.
            time.sleep(2)
        yield of_services["code-location"]


def command(name: str, service: Mapping[str, Any], folder: Path, ports: Mapping[str, int]) -> list[str]:
    program, *options = [here(str(word), folder, ports) for word in service["command"]]
    if name == "mongodb":
        return [find_mongod(), "--dbpath", str(folder / "data/db"), "--port", str(ports[name]), *options]
    return [str(SCRIPTS / program), *options]


def here(text: str, folder: Path, ports: Mapping[str, int]) -> str:
    """A text of the file, with this machine's addresses and folders."""
    for name, port in ports.items():
        text = re.sub(rf"(?<![\w/.-]){name}:{PORTS[name]}\b|(?<=[@/]){name}:{PORTS[name]}\b", f"127.0.0.1:{port}", text)
        text = re.sub(rf"^{PORTS[name]}$|(?<=port: ){PORTS[name]}\b", str(port), text)
    text = text.replace("host: code-location", "host: 127.0.0.1").replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    return re.sub(r"(?<![\w.])(/opt/dagster|/var/lib)", rf"{folder}\1", text)


@contextmanager
def process(log_file: Path, words: list[str], variables: Mapping[str, str]) -> Iterator[None]:
    with log_file.open("a") as output:
        started = subprocess.Popen(
            words,
            env=variables,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end_group(started)
