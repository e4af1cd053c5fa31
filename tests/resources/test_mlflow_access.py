"""MLflow's own settings for logins and TLS hold for our requests to its server too."""

import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from resources.errors import MlflowRefused
from resources.mlflow import Mlflow
from tests.support.mlflows import FITTING, PASSWORD, USER, at, restored_environment
from tests.support.web import website

__all__ = ["restored_environment"]

BASIC = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


def anonymous(address: str) -> Mlflow:
    """The MLflow at an address without a login."""
    return Mlflow(uri=address, home=Path("unused"), timeout_s=2)


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
