"""k8s/base/settings.env lists every setting of the platform that is not secret."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from nhm_assets.settings import Settings
from tests.support.manifests import K8S, Manifest, find

IN_THE_CLUSTER = {
    "NHM_HOME": "/var/lib/nhm",
    "NHM_STORAGE": "mlflow-artifacts:/nhm",
    "DAGSTER_HOME": "/opt/dagster/dagster_home",
    "DAGSTER_URL": "http://dagster-webserver",
    "ENVIRONMENT": "production",
    "LOG_FORMAT": "json",
    "SPECIALIST_STATUS_URL": "http://{pod_ip}:8000/status",
    "RETRAIN_PROCESSES": "1",
    "MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc.cluster.local:5000",
}
"""Settings whose default suits a person's machine and not a cluster."""
SET_BY_KUBERNETES = {"POD_NAME", "POD_NAMESPACE", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"}


def as_text(value: Any) -> str:
    """A setting's default as an environment variable holds it."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool | dict | list | tuple) else str(value)


def expected_settings() -> dict[str, str]:
    public = {
        name.upper(): as_text(field.default)
        for name, field in Settings.model_fields.items()
        if "SecretStr" not in str(field.annotation) and name.upper() not in SET_BY_KUBERNETES
    }
    return public | IN_THE_CLUSTER


def test_the_configmap_holds_every_setting_that_is_not_secret_with_its_default(production: list[Manifest]):
    assert find(production, "ConfigMap", "nhm-settings")["data"] == expected_settings()


def comments() -> dict[str, str]:
    """The comment above each setting in the file, as one line."""
    blocks = (K8S / "base" / "settings.env").read_text().strip().split("\n\n")[1:]
    lines = [block.splitlines() for block in blocks]
    return {last.partition("=")[0]: " ".join(line.removeprefix("# ") for line in above) for *above, last in lines}


def test_the_comments_are_the_descriptions_of_the_settings():
    assert comments() == {name: Settings.model_fields[name.lower()].description for name in comments()}
    assert comments().keys() == expected_settings().keys()


def test_the_settings_of_the_configmap_can_be_loaded(production: list[Manifest], monkeypatch: pytest.MonkeyPatch):
    for name, value in find(production, "ConfigMap", "nhm-settings")["data"].items():
        monkeypatch.setenv(name, value)
    assert Settings.load().in_production


def test_secret_settings_are_recognized_by_their_type():
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    settings = Settings(**dict.fromkeys(secret, "json://host"))
    assert "mongodb_uri" in secret
    assert all(isinstance(getattr(settings, name), SecretStr) for name in secret)
