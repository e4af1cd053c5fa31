"""The MLflow server: it answers, accepts us and fits the client, or the error says why; no error shows a password."""

import time
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from resources.errors import IncompatibleMlflow, MlflowRefused, MlflowUnavailable, ServiceError
from resources.mlflow import Mlflow
from resources.mlflow_server import fits
from tests.support.mlflows import FITTING, PASSWORD, SEARCH, TIMEOUT_S, USER, at, restored_environment
from tests.support.ports import free_port
from tests.support.processes import silent_port
from tests.support.web import Website, website

__all__ = ["restored_environment"]

SLACK_S = 20.0
"""For imports on a busy machine; the time-outs and retries of MLflow itself take minutes."""


def error_text(kind: type[ServiceError], use: Callable[[], Any]) -> str:
    """The text of the error that the call raises in time; the password must not be in anything printed with it."""
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
def test_a_client_fits_servers_that_it_can_log_models_to(client: str, server: str, fit: bool):  # noqa: FBT001 - a table
    assert fits(client, server) is fit


@pytest.mark.parametrize("version", ["", "<!doctype html>", "three", "3", "404 page not found", "3.x"])
def test_an_answer_that_is_not_a_version_is_refused(version: str):
    with pytest.raises(MlflowRefused, match="does not answer like MLflow"):
        fits("3.17.2", version)


def test_a_closed_port_is_unavailable_and_the_error_says_what_to_do():
    port = free_port()
    text = error_text(MlflowUnavailable, lambda: enter(at(f"http://127.0.0.1:{port}")))
    assert f"MLflow at http://{USER}:***@127.0.0.1:{port}" in text
    assert "connection refused" in text
    assert "check MLFLOW_TRACKING_URI" in text


def test_a_server_that_never_answers_is_unavailable_within_the_timeout():
    with silent_port() as port:
        assert "timed out" in error_text(MlflowUnavailable, lambda: enter(at(f"http://127.0.0.1:{port}")))


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
    text = error_text(ServiceError, lambda: enter(Mlflow(uri=uri, home=tmp_path, timeout_s=TIMEOUT_S)))
    assert "MLFLOW_TRACKING_URI" in text


@pytest.mark.parametrize(
    "answer", [(200, "<!doctype html><title>Welcome</title>"), (404, "no such page"), (200, ""), (301, "moved")]
)
def test_a_server_that_is_not_mlflow_is_refused_and_its_address_is_named(answer: tuple[int, str]):
    with website({}, otherwise=answer) as site:
        text = error_text(MlflowRefused, lambda: enter(at(site.address)))
    assert "the server at MLFLOW_TRACKING_URI http://nhm:***@127.0.0.1" in text
    assert "does not answer like MLflow" in text


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_proxy_that_has_no_server_behind_it_is_away_for_a_while(status: int):
    """An ingress answers with a page of its own, whatever the path."""
    with website({}, otherwise=(status, "<html>no healthy upstream</html>")) as site:
        text = error_text(MlflowUnavailable, lambda: enter(at(site.address)))
    assert f"answers {status}, so it or a proxy before it cannot serve requests now" in text


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_named_whatever_the_path(status: int):
    with website({}, otherwise=(status, "no")) as site:
        assert f"refuses user {USER}" in error_text(MlflowRefused, lambda: enter(at(site.address)))


def too_old() -> list[str]:
    """Versions of servers that the installed client cannot work with."""
    return ["2.8.1", *(["2.9.2", "2.22.1"] if mlflow.__version__ >= "3" else [])]


@pytest.mark.parametrize("version", too_old())
def test_a_server_that_is_too_old_is_refused_at_once_with_both_versions_and_the_remedy(version: str):
    with website({"/version": (200, f"{version}\n")}) as site:
        text = error_text(IncompatibleMlflow, lambda: enter(at(site.address)))
        assert [path for path, _ in site.asked] == ["/version"]
    assert f"the MLflow client {mlflow.__version__} cannot work with the MLflow server {version}" in text
    assert "use client 3.x with server 3.x, or client 2.22 with server 2.9 or newer" in text


HINTS = {
    401: "Check user and password in MLFLOW_TRACKING_URI",
    403: "MLFLOW_SERVER_ALLOWED_HOSTS",
    500: "read the log of the server",
}


@pytest.mark.parametrize(("status", "hint"), HINTS.items())
def test_a_refusal_of_the_server_is_an_error_with_a_hint(status: int, hint: str):
    kind = MlflowUnavailable if status == 500 else MlflowRefused
    with website({**FITTING, SEARCH: (status, f"no, {PASSWORD}")}) as site:
        text = error_text(kind, lambda: enter(at(site.address)))
    assert f"answers {status}" in text
    assert hint in text
    assert f"{USER}:***@" in text


LATER = [
    (401, "no", MlflowRefused),
    (403, "no", MlflowRefused),
    (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', MlflowRefused),
    (500, '{"error_code": "INTERNAL_ERROR", "message": "oops"}', MlflowUnavailable),
    (502, "<html>Bad Gateway</html>", MlflowUnavailable),
    (503, '{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "server closed the connection"}', MlflowUnavailable),
    (504, "<html>Gateway Timeout</html>", MlflowUnavailable),
]


@pytest.mark.parametrize(("status", "body", "kind"), LATER)
def test_a_later_answer_of_the_server_means_the_same(
    status: int, body: str, kind: type[ServiceError], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def use() -> None:
        with at(site.address).client() as client:
            client.create_run("0")

    with website(FITTING, otherwise=(status, body)) as site:
        assert kind.transient is (kind is MlflowUnavailable)
        error_text(kind, use)


def credentials_in(site: Website) -> set[str | None]:
    return {credentials for _, credentials in site.asked}


def test_user_and_password_reach_the_server_and_are_shown_nowhere():
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
