"""Addresses are shown without their secrets, even malformed ones."""

import pytest

from resources.addresses import masked, split_credentials

SECRETS = {
    "plain": "hunter2",
    "an at": "hun@ter2",
    "a slash": "hun/ter2",
    "a colon": "hun:ter2",
    "a question mark": "hun?ter2",
    "a hash": "hun#ter2",
    "percent-encoded": "hun%40ter2",
    "all of them": "h@u/n:t?e#r2@",
    "a bracket": "hun[ter2",
}
each_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)


@each_secret
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv", "http", "https", "postgresql"])
def test_a_password_is_hidden_whatever_it_contains(scheme: str, secret: str):
    shown = masked(f"{scheme}://nhm:{secret}@db.example.org:27017/hive?authSource=admin")
    assert shown == f"{scheme}://nhm:***@db.example.org:27017/hive"


def test_options_are_hidden_because_they_may_contain_secrets():
    assert masked("mongodb://host/hive?tlsCertificateKeyFilePassword=hunter2&ssl=true") == "mongodb://host/hive"


def test_an_at_sign_in_an_option_reveals_nothing():
    assert "hunter2" not in masked("mongodb://nhm:hunter2@host/?appName=a@b")


@pytest.mark.parametrize(
    "address",
    [
        "mongodb://localhost:27017",
        "mongodb://one:27017,two:27018/hive",
        "mongodb://[::1]:27017/hive",
        "https://mlflow.example.org/path",
        "sqlite:////data/mlflow.db",
        "/data/storage",
        "s3://bucket/prefix",
        "",
    ],
)
def test_an_address_without_secrets_is_shown_as_it_is(address: str):
    assert masked(address) == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mongodb://:hunter2@host", "mongodb://***:***@host"),
        ("mongodb://hunter2%21@host", "mongodb://***:***@host"),
        ("nhm:hunter2@host", "***"),
        ("mongodb:/nhm:hunter2@host", "***"),
        ("@", "***"),
    ],
)
def test_everything_before_an_at_sign_is_hidden_in_a_malformed_address_too(address: str, shown: str):
    assert masked(address) == shown


@pytest.mark.parametrize("address", ["mongodb://nhm:hunter2", "mongodb://nhm:hunter2/hive"])
def test_a_password_is_hidden_if_the_host_is_missing(address: str):
    assert "hunter2" not in masked(address)


@each_secret
def test_user_and_password_are_taken_out_of_an_http_address(secret: str):
    address, user, password = split_credentials(f"https://nhm:{secret}@mlflow.example.org:5000/path")
    assert (address, user) == ("https://mlflow.example.org:5000/path", "nhm")
    assert password == secret.replace("%40", "@")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("http://host:5000", ("http://host:5000", None, None)),
        ("http://token@host:5000", ("http://host:5000", "token", "")),
        ("http://n%40m:p%3Aw@host", ("http://host", "n@m", "p:w")),
        ("http://nhm:pw@[::1]:5000/x", ("http://[::1]:5000/x", "nhm", "pw")),
    ],
)
def test_credentials_are_decoded_and_the_rest_stays(address: str, parts: tuple[str, str | None, str | None]):
    assert split_credentials(address) == parts
