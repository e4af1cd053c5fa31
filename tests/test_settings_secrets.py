"""No secret in a setting is ever printed."""

import traceback

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings
from tests.support.settings import settings_from

SECRET = "s3cret-word"  # noqa: S105 - of no real server


def with_secrets(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    return settings_from(
        monkeypatch,
        MONGODB_URI=f"mongodb://nhm:{SECRET}@host",
        MLFLOW_TRACKING_URI=f"http://nhm:{SECRET}@host",
        NOTIFY_URLS=f"json://hive.example/{SECRET}",
        LLM_API_KEY=f"sk-{SECRET}",
        **environment,
    )


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch):
    settings = with_secrets(monkeypatch)
    assert SECRET in settings.mongodb_uri.get_secret_value()
    assert SECRET in settings.mlflow_tracking_uri.get_secret_value()
    assert SECRET in settings.notify_urls.get_secret_value()
    assert SECRET in settings.llm_api_key.get_secret_value()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown


def test_an_error_shows_no_secret(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError) as caught:
        with_secrets(monkeypatch, F1_THRESHOLD=SECRET)
    assert "F1_THRESHOLD" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_line_break_at_the_end_of_a_key_from_a_file_is_left_out(monkeypatch: pytest.MonkeyPatch):
    assert settings_from(monkeypatch, LLM_API_KEY=f" {SECRET}\n").llm_api_key.get_secret_value() == SECRET
    assert settings_from(monkeypatch, LLM_API_KEY="\n").llm_api_key is None


@pytest.mark.parametrize("key", [f"{SECRET}\nnext", f"{SECRET} two", f"{SECRET}\u00fc"])
def test_a_key_that_no_server_can_be_sent_is_rejected(monkeypatch: pytest.MonkeyPatch, key: str):
    with pytest.raises(UsageError, match="LLM_API_KEY: must consist of printable ASCII") as caught:
        settings_from(monkeypatch, LLM_API_KEY=key)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", [f"ftp://nhm:{SECRET}@host/dir", f"s3://key:{SECRET}@bucket/prefix"])
def test_a_storage_address_with_a_password_is_rejected(monkeypatch: pytest.MonkeyPatch, address: str):
    with pytest.raises(UsageError, match="NHM_STORAGE: ") as caught:
        settings_from(monkeypatch, NHM_STORAGE=address)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
