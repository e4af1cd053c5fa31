"""Manifests name Secrets and never contain one."""

from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.manifests import STANDALONE, Manifest, find, rendered

SECRETS = {
    ("mongodb-secret", "uri"),
    ("dagster-postgresql-secret", "postgresql-password"),
}


def secret_references(node: Any) -> Iterator[tuple[str, str]]:
    """Name and key of every Secret that a manifest refers to."""
    if isinstance(node, dict):
        for key in ("secretKeyRef", "secret_key_ref"):
            if key in node:
                yield node[key]["name"], node[key]["key"]
        for inner in node.values():
            yield from secret_references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from secret_references(inner)


def test_secrets_are_named_and_never_included(production: list[Manifest]):
    assert not [manifest for manifest in production if manifest["kind"] == "Secret"]
    config = find(production, "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"]
    assert set(secret_references([*production, yaml.safe_load(config)])) == SECRETS
    own_mlflow = {("mlflow-postgresql-secret", "postgresql-password")}
    assert set(secret_references([*rendered(STANDALONE), yaml.safe_load(config)])) == SECRETS | own_mlflow


def test_webserver_and_daemon_do_not_know_where_mongodb_is(production: list[Manifest]):
    for name in ("dagster-webserver", "dagster-daemon"):
        pod = find(production, "Deployment", name)["spec"]["template"]
        assert {secret for secret, _ in secret_references(pod)} == {"dagster-postgresql-secret"}
