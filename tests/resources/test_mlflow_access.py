"""MLflow's own settings for logins and TLS hold for our requests to its server too."""

import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from nhm_assets.settings import Settings
from resources.errors import MlflowRefused
from resources.mlflow import Mlflow
from tests.support.mlflows import FITTING, PASSWORD, USER, at, restored_environment
from tests.support.web import website

__all__ = ["restored_environment"]

BASIC = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


def anonymous(address: str) -> Mlflow:
    """The MLflow at an address without a login."""
    return Mlflow(uri=address, home=Path("unused"), timeout_s=20)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody trusts, with its key."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1")
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", file, "-out", f"{file}.crt", *names)
    subprocess.run(new, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        ({"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}, BASIC),
        ({}, None),
    ],
    ids=["token", "user", "none"],
)
def test_the_login_of_mlflows_settings_is_sent_with_every_request(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with website(FITTING) as site:
        with anonymous(site.address).client() as client:
            client.search_registered_models()
        assert {login for _, login in site.asked} == {expected}


def test_who_only_asks_logs_in_by_mlflows_settings_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    told = Settings.load().mlflow_library_is_configured
    with website(FITTING) as site:
        with Mlflow(uri=site.address, home=Path("unused"), timeout_s=20, library_is_configured=told).reading():
            pass
        assert {login for _, login in site.asked} == {"Bearer t0ken"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"MLFLOW_TRACKING_URI": "http://mlflow", "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow", "MLFLOW_TIMEOUT_S": "5"},
            False,
        ),
        ({"MLFLOW_TRACKING_PASSWORD": "x"}, True),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "ca.pem"}, True),
        ({"MLFLOW_WORKSPACE": "hive"}, True),
    ],
)
def test_variables_by_which_mlflows_library_enters_a_server_make_it_ask(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    told: bool,  # noqa: FBT001 - a table
):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().mlflow_library_is_configured is told
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").touch()
    assert Settings.load().mlflow_library_is_configured


def test_the_login_in_the_address_comes_before_that_of_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with website(FITTING) as site:
        with at(site.address).client():
            pass
        assert {login for _, login in site.asked} == {BASIC}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "the token of MLFLOW_TRACKING_TOKEN"),
        ({"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}, f"user {USER}"),
        ({}, "requests without a login"),
    ],
)
def test_a_refused_login_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with website({}, otherwise=(401, "no")) as site, pytest.raises(MlflowRefused, match=f"refuses {named}") as caught:
        anonymous(site.address).client().__enter__()
    assert PASSWORD not in str(caught.value)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize("setting", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"])
def test_the_certificates_of_mlflows_settings_are_trusted(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, setting: str
):
    value = "true" if setting.endswith("INSECURE_TLS") else f"{certificate}.crt"
    monkeypatch.setenv(setting, value)
    with website(FITTING, certificate=certificate) as site, anonymous(site.address).client() as client:
        assert client.search_registered_models() == []


def test_a_certificate_that_nobody_trusts_is_named_with_the_setting(certificate: Path):
    refused = pytest.raises(MlflowRefused, match=r"is not trusted .*set MLFLOW_TRACKING_SERVER_CERT_PATH")
    with website(FITTING, certificate=certificate) as site, refused as caught:
        anonymous(site.address).client().__enter__()
    assert site.address in str(caught.value)


def test_a_missing_file_with_certificates_is_named(monkeypatch: pytest.MonkeyPatch, certificate: Path):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/no/such.pem")
    refused = pytest.raises(MlflowRefused, match=r"the file /no/such\.pem with certificates for MLflow does not exist")
    with website(FITTING, certificate=certificate) as site, refused:
        anonymous(site.address).client().__enter__()


def test_settings_of_mlflow_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch, certificate: Path):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", f"{certificate}.crt")
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with website(FITTING) as site, pytest.raises(MlflowRefused, match="settings of MLflow contradict each other"):
        anonymous(site.address).client().__enter__()
