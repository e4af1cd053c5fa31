"""What `nhm cluster check --manifests` says of the servers, by the addresses that the pods will have."""

import base64
from typing import Any

import pytest

from nhm_assets.commands.cluster_before import Before
from resources.errors import KubernetesRefused
from resources.kubernetes_objects import Kind

SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "nhm-settings", "namespace": "mlflow"},
    "data": {"MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc.cluster.local:5000"},
}


class Objects:
    """A cluster that has these Secrets, and no Service."""

    def __init__(self, secrets: dict[str, dict[str, str]] | None) -> None:
        self._secrets = secrets

    def kind(self, api_version: str, kind: str) -> Kind:
        return Kind(api_version, "", f"{kind.lower()}s", namespaced=True)

    def get(self, kind: Kind, _: str | None, name: str) -> dict[str, Any] | None:
        if kind.plural != "secrets":
            return None
        if self._secrets is None:
            raise KubernetesRefused("secrets is forbidden")
        values = self._secrets.get(name)
        return values and {"data": {key: base64.b64encode(one.encode()).decode() for key, one in values.items()}}

    def may(self, *_: object) -> bool:
        return True

    def server_version(self) -> tuple[int, int]:
        return 1, 31

    def all(self, *_: object) -> list[dict[str, Any]]:
        return []


def said_of(subject: str, secrets: dict[str, dict[str, str]] | None) -> list[str]:
    lines = Before(Objects(secrets), [SETTINGS], []).lines()  # type: ignore[arg-type]
    return [line.found for line in lines if line.subject == subject]


@pytest.mark.parametrize(
    ("secrets", "found"),
    [
        ({}, "there is no Service mlflow in mlflow"),
        ({"nhm-secrets": {"NOTIFY_URLS": "json://there"}}, "there is no Service mlflow in mlflow"),
        (
            {"nhm-secrets": {"MLFLOW_TRACKING_URI": "http://a:secret@tracking.ml.svc:80"}},
            "there is no Service tracking in ml",
        ),
    ],
)
def test_mlflow_is_looked_for_where_the_pods_will_look(secrets: dict[str, dict[str, str]], found: str):
    assert said_of("MLflow", secrets) == [found]


def test_who_may_read_no_secret_is_not_told_of_an_address_that_it_may_override():
    assert said_of("MLflow", None) == []
    assert said_of("servers", None) == ["secrets is forbidden"]
