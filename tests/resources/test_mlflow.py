"""MLflow: a server that fits and answers, runs that nothing else logs into, and no secret in any word."""

import logging
import os
import shutil
import time
import traceback
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import mlflow
import pytest
from dagster import DagsterRun, build_op_context
from mlflow.exceptions import MlflowException

from nhm_assets.settings import Settings
from resources.errors import IncompatibleMlflow, MlflowRefused, MlflowUnavailable, ServiceError
from resources.mlflow import Mlflow, fits
from tests.support.ports import free_port
from tests.support.processes import silent_port, talkers
from tests.support.servers import mlflow_server
from tests.support.web import Answers, Website, website

USER = "nhm"
PASSWORD = "s3cret-word"  # noqa: S105 - of servers that live for one test
TIMEOUT_S = 1.0
SLACK_S = 4.0
SEARCH = "/api/2.0/mlflow/registered-models/search"
FITTING: Answers = {"/version": (200, mlflow.__version__), SEARCH: (200, "{}")}


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """MLflow takes credentials from the environment: none of a test reach the next."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def home(tmp_path: Path, migrated_mlflow: Path) -> Path:
    """A folder with an empty MLflow on SQLite."""
    return Path(shutil.copytree(migrated_mlflow, tmp_path / "mlflow"))


@pytest.fixture
def embedded(home: Path) -> Mlflow:
    return Mlflow(uri=None, home=home, timeout_s=10)


def at(address: str) -> Mlflow:
    """The MLflow at this address, called with user and password."""
    with_credentials = address.replace("//", f"//{USER}:{PASSWORD}@", 1)
    return Mlflow(uri=with_credentials, home=Path("unused"), timeout_s=TIMEOUT_S)


def refusal(kind: type[ServiceError], use: Callable[[], Any]) -> str:
    """What the user is told, after a look for the password in everything that could be printed."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        use()
    assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def enter(server: Mlflow) -> None:
    with server.client():
        pytest.fail("the body ran")


@pytest.mark.parametrize(
    ("client", "server", "fit"),
    [
        ("3.17.2", "3.17.2", True),
        ("3.17.2", "3.2.0", True),
        ("3.17.2", "4.0.0", True),
        ("3.17.2", "2.22.1", False),
        ("3.17.2", "2.9.2", False),
        ("3.17.2", "1.30.0", False),
        ("2.22.1", "2.9.2", True),
        ("2.22.1", "2.10.0", True),
        ("2.22.1", "2.9.0.dev0", True),
        ("2.22.1", "3.17.2", True),
        ("2.22.1", "2.8.1", False),
        ("2.22.1", "1.30.0", False),
    ],
)
def test_a_client_fits_a_server_of_its_own_age(client: str, server: str, fit: bool):  # noqa: FBT001 - a table
    assert fits(client, server) is fit


@pytest.mark.parametrize("version", ["", "<!doctype html>", "three", "3", "404 page not found", "3.x"])
def test_what_is_no_version_is_not_compared(version: str):
    with pytest.raises(MlflowRefused, match="does not answer like MLflow"):
        fits("3.17.2", version)


def test_a_closed_port_is_unavailable_with_the_address_and_what_to_do():
    port = free_port()
    said = refusal(MlflowUnavailable, lambda: enter(at(f"http://127.0.0.1:{port}")))
    assert f"MLflow at http://{USER}:***@127.0.0.1:{port}" in said
    assert "connection refused" in said
    assert "check MLFLOW_TRACKING_URI" in said


def test_a_server_that_never_answers_is_unavailable_within_the_timeout():
    with silent_port() as port:
        assert "timed out" in refusal(MlflowUnavailable, lambda: enter(at(f"http://127.0.0.1:{port}")))


@pytest.mark.parametrize(
    "uri",
    [
        f"http://{USER}:{PASSWORD}/x@127.0.0.1:1",
        f"http://{USER}:{PASSWORD}?x@127.0.0.1:1",
        f"http://{USER}:{PASSWORD}#x@127.0.0.1:1",
        f"http://{USER}:{PASSWORD}[x@127.0.0.1:1",
        f"http://{USER}:{PASSWORD}@",
        f"http://{USER}:{PASSWORD}@127.0.0.1:port",
        f"http://{USER}:{PASSWORD}",
        f"HTTP://{USER}:{PASSWORD}@127.0.0.1:1",
        f"postgresql://{USER}:{PASSWORD}@127.0.0.1:1/mlflow",
        f"nosuch://{USER}:{PASSWORD}@127.0.0.1:1",
        f"//{USER}:{PASSWORD}@127.0.0.1:1",
    ],
)
def test_an_address_that_cannot_be_used_is_an_error_that_does_not_show_its_password(uri: str, tmp_path: Path):
    said = refusal(ServiceError, lambda: enter(Mlflow(uri=uri, home=tmp_path, timeout_s=TIMEOUT_S)))
    assert "MLFLOW_TRACKING_URI" in said


@pytest.mark.parametrize(
    "answer", [(200, "<!doctype html><title>Welcome</title>"), (404, "no such page"), (200, ""), (502, "Bad Gateway")]
)
def test_a_server_that_is_not_mlflow_is_said_to_be_none(answer: tuple[int, str]):
    with website({}, otherwise=answer) as site:
        said = refusal(MlflowRefused, lambda: enter(at(site.address)))
    assert "MLFLOW_TRACKING_URI does not answer like MLflow" in said


def too_old() -> list[str]:
    """Versions of servers that the installed client cannot work with."""
    return ["2.8.1", *(["2.9.2", "2.22.1"] if mlflow.__version__ >= "3" else [])]


@pytest.mark.parametrize("version", too_old())
def test_a_server_that_is_too_old_is_refused_at_once_with_both_versions_and_the_remedy(version: str):
    with website({"/version": (200, f"{version}\n")}) as site:
        said = refusal(IncompatibleMlflow, lambda: enter(at(site.address)))
        assert [path for path, _ in site.asked] == ["/version"]
    assert f"the MLflow client {mlflow.__version__} cannot work with the MLflow server {version}" in said
    assert "use a client 3.x with a server 3.x, or a client 2.22 with a server from 2.9 on" in said


HINTS = {
    401: "check user and password in MLFLOW_TRACKING_URI",
    403: "MLFLOW_SERVER_ALLOWED_HOSTS",
    500: "look into the server's log",
}


@pytest.mark.parametrize(("status", "hint"), HINTS.items())
def test_a_server_that_refuses_us_says_how_with_a_hint(status: int, hint: str):
    kind = MlflowUnavailable if status == 500 else MlflowRefused
    with website({**FITTING, SEARCH: (status, f"no, {PASSWORD}")}) as site:
        said = refusal(kind, lambda: enter(at(site.address)))
    assert f"answers {status}" in said
    assert hint in said
    assert f"{USER}:***@" in said


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_may_refuse_us_later_on_too(status: int):
    def use() -> None:
        with at(site.address).client() as client:
            client.create_run("0")

    with website(FITTING, otherwise=(status, "no")) as site:
        assert str(status) in refusal(MlflowRefused, use)


def credentials_in(site: Website) -> set[str | None]:
    return {credentials for _, credentials in site.asked}


def test_user_and_password_reach_the_server_and_stand_nowhere_else():
    with website(FITTING) as site:
        server = at(site.address)
        with server.client() as client:
            client.search_registered_models()
            assert client.tracking_uri == site.address
            assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == site.address
        assert len(site.asked) >= 3
        assert credentials_in(site) == {f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
    assert server.address == site.address.replace("//", f"//{USER}:***@")
    assert PASSWORD not in repr(server)


def test_an_address_without_user_sends_no_credentials():
    with website(FITTING) as site:
        with Mlflow(uri=site.address, home=Path("unused"), timeout_s=TIMEOUT_S).client() as client:
            client.search_registered_models()
        assert credentials_in(site) == {None}


def test_the_server_is_asked_for_its_version_once():
    with website(FITTING) as site:
        server = at(site.address)
        for _ in range(2):
            with server.client():
                pass
        assert [path for path, _ in site.asked].count("/version") == 1


def test_what_the_registry_says_no_to_is_not_taken_for_being_unavailable(embedded: Mlflow):
    with pytest.raises(MlflowException, match="not found"), embedded.client() as client:
        client.get_registered_model("nobody-evaluator")


def test_using_mlflow_changes_no_setting_of_this_process(embedded: Mlflow):
    with embedded.client():
        assert Settings.load() == Settings()
        assert Settings.load().mlflow_tracking_uri is None


@pytest.mark.parametrize(("given", "then"), [(None, "true"), ("false", "false")])
def test_mlflow_reports_to_nobody_unless_the_user_wants_it_to(embedded: Mlflow, given: str | None, then: str):
    os.environ.pop("MLFLOW_DISABLE_TELEMETRY", None)
    if given:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = given
    with embedded.client():
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == then


def test_without_an_address_everything_lies_in_the_home_folder(embedded: Mlflow, home: Path):
    assert embedded.address == f"SQLite under {home}"
    experiment = embedded.experiment_id("technical-specialist")
    with embedded.client() as client:
        assert client.tracking_uri == f"sqlite:///{home / 'mlflow.db'}"
        assert client.get_experiment(experiment).artifact_location == str(home / "artifacts" / "technical-specialist")


FRESH = """
import sys
from pathlib import Path
import mlflow
from resources.mlflow import Mlflow
print("ready", flush=True)
sys.stdin.readline()
server = Mlflow(uri=None, home=Path(sys.argv[1]), timeout_s=10)
print(server.experiment_id("technical-specialist"), flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_processes_that_open_a_fresh_home_at_the_same_moment_all_succeed(tmp_path: Path):
    with talkers(2, FRESH, tmp_path / "new" / "mlflow") as users:
        assert [user.hear() for user in users] == ["ready"] * 2
        for user in users:
            user.go_on()
        identities = {user.hear() for user in users}
    assert len(identities) == 1
    assert identities.pop().isdigit()


def test_an_experiment_is_created_once(embedded: Mlflow, home: Path):
    first = embedded.experiment_id("technical-specialist")
    assert embedded.experiment_id("technical-specialist") == first
    assert Mlflow(uri=None, home=home, timeout_s=10).experiment_id("technical-specialist") == first
    assert embedded.experiment_id("business-specialist") != first


UNKNOWN = (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}')
FOUND = (200, '{"experiment": {"experiment_id": "7", "name": "technical-specialist", "lifecycle_stage": "active"}}')
BY_NAME = "/api/2.0/mlflow/experiments/get-by-name"
CREATE = "/api/2.0/mlflow/experiments/create"


def test_an_experiment_that_somebody_else_creates_meanwhile_is_taken():
    there = (400, '{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "exists"}')
    with website({**FITTING, BY_NAME: [UNKNOWN, FOUND], CREATE: there}) as site:
        assert at(site.address).experiment_id("technical-specialist") == "7"
        assert [path for path, _ in site.asked][-3:] == [BY_NAME, CREATE, BY_NAME]


def test_an_experiment_that_cannot_be_created_is_an_error():
    refused = (400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name"}')
    with (
        website({**FITTING, BY_NAME: UNKNOWN, CREATE: refused}) as site,
        pytest.raises(MlflowException, match="bad name"),
    ):
        at(site.address).experiment_id("technical-specialist")


def run_of(server: Mlflow, **tags: str) -> AbstractContextManager[Any]:
    """A run as the training stage opens it."""
    return server.run(
        experiment="technical-specialist",
        name="technical|2026-03-01",
        tags=tags,
        dagster_run=DagsterRun(job_name="specialist_retraining", run_id=str(uuid.uuid4())),
        log=build_op_context().log,
    )


def only_run(server: Mlflow) -> Any:
    with server.client() as client:
        (run,) = client.search_runs([server.experiment_id("technical-specialist")])
        return run


def test_a_run_holds_what_is_logged_and_ends_as_finished(embedded: Mlflow):
    with run_of(embedded, **{"nhm.partition": "technical|2026-03-01"}) as bound:
        bound.log_params({"max_depth": 10})
        assert only_run(embedded).info.status == "RUNNING"
    run = only_run(embedded)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"max_depth": "10"}
    assert run.data.tags["nhm.partition"] == "technical|2026-03-01"
    assert run.data.tags["mlflow.runName"] == "technical|2026-03-01"
    assert len(run.data.tags["dagster_run_id"]) == 36
    assert mlflow.active_run() is None


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")]
)
def test_a_run_ends_by_its_outcome(embedded: Mlflow, error: BaseException, status: str):
    with pytest.raises(type(error)), run_of(embedded):
        raise error
    assert only_run(embedded).info.status == status
    assert mlflow.active_run() is None


def test_each_run_is_a_new_one(embedded: Mlflow):
    for number in range(2):
        with run_of(embedded) as bound:
            bound.log_params({"number": number})
    with embedded.client() as client:
        runs = client.search_runs([embedded.experiment_id("technical-specialist")])
    assert sorted(run.data.params["number"] for run in runs) == ["0", "1"]


@pytest.mark.parametrize("same_mlflow", [True, False], ids=["in the same MLflow", "in another MLflow"])
def test_nothing_is_logged_into_a_run_that_happens_to_be_active(
    embedded: Mlflow,
    tmp_path: Path,
    migrated_mlflow: Path,
    same_mlflow: bool,  # noqa: FBT001 - a parameter of the test
):
    elsewhere = Path(shutil.copytree(migrated_mlflow, tmp_path / "elsewhere"))
    with (embedded if same_mlflow else Mlflow(uri=None, home=elsewhere, timeout_s=10)).client() as client:
        mlflow.set_experiment("somebody-elses")
        stray = mlflow.start_run().info.run_id
    with run_of(embedded) as bound:
        bound.log_params({"max_depth": 10})
        assert bound.active_run().info.run_id != stray
    assert only_run(embedded).data.params == {"max_depth": "10"}
    assert only_run(embedded).info.status == "FINISHED"
    assert client.get_run(stray).data.params == {}
    assert "dagster_run_id" not in client.get_run(stray).data.tags


def test_a_run_named_by_the_environment_is_left_alone(embedded: Mlflow):
    with run_of(embedded):
        pass
    first = only_run(embedded)
    os.environ["MLFLOW_RUN_ID"] = first.info.run_id
    with run_of(embedded) as bound:
        bound.log_params({"max_depth": 10})
        assert bound.active_run().info.run_id != first.info.run_id
    with embedded.client() as client:
        assert client.get_run(first.info.run_id).data.params == {}


def words_of(run: Any) -> str:
    return f"{run.data.tags} {run.data.params} {run.info.artifact_uri}"


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_of_a_run_is_unavailable_and_the_next_run_works_after_its_return(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with ExitStack() as first_life:
        server = at(first_life.enter_context(mlflow_server(tmp_path / "server", port=port)))

        def train() -> None:
            with run_of(server, attempt="1") as bound:
                bound.log_params({"max_depth": 10})
                first_life.close()
                bound.log_params({"min_samples_leaf": 2})
                pytest.fail("logged to a server that is dead")

        with pytest.raises(MlflowUnavailable, match="cannot be reached") as caught:
            train()
    assert f"{USER}:***@127.0.0.1:{port}" in str(caught.value)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert mlflow.active_run() is None

    with mlflow_server(tmp_path / "server", port=port):
        with run_of(server, attempt="2") as bound:
            bound.log_params({"max_depth": 10})
        with server.client() as client:
            runs = client.search_runs([server.experiment_id("technical-specialist")], order_by=["start_time"])
            assert PASSWORD not in client.tracking_uri
    assert [run.info.status for run in runs] == ["RUNNING", "FINISHED"]
    assert runs[1].data.params == {"max_depth": "10"}
    assert PASSWORD not in "".join(words_of(run) for run in runs) + caplog.text
