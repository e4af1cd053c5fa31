"""What manifests need of a cluster, read from the overlays as `kubectl` renders them."""

from pathlib import Path
from typing import Any

import pytest

from nhm_assets.commands import cluster_needs as needs
from nhm_assets.commands.cluster_after import remedy_for
from tests.support.manifests import K8S, MODELS, OWN_SERVICES, PRODUCTION, STANDALONE, documents, rendered


def test_every_object_of_every_overlay_says_whose_it_is():
    """Otherwise a second `nhm cluster check` would call it somebody else's."""
    for overlay in (PRODUCTION, STANDALONE, OWN_SERVICES):
        assert [needs.name_of(one) for one in rendered(overlay) if not needs.is_ours(one)] == []


def test_secrets_volumes_namespaces_and_images_are_found():
    manifests = rendered(STANDALONE)
    assert needs.secret_keys(manifests) == [
        ("mlflow", "dagster-postgresql-secret", "postgresql-password"),
        ("mlflow", "mlflow-postgresql-secret", "postgresql-password"),
        ("mlflow", "mongodb-secret", "uri"),
    ]
    assert [claim.name for claim in needs.claims(manifests)] == ["data-nhm-postgresql-0"]
    assert needs.mounted_claims(manifests) == [("mlflow", "mlflow-artifacts")]
    claim = {**documents(MODELS)[0], "metadata": {"name": "mlflow-artifacts", "namespace": "mlflow"}}
    assert needs.mounted_claims([*manifests, claim]) == []
    assert needs.namespaces(manifests) == ["mlflow", "semantic-translation"]
    assert [image.partition(":")[0] for image in needs.images(manifests)] == ["nhm-assets", "postgres"]
    assert needs.settings(manifests)["SPECIALIST_NAMESPACE"] == "semantic-translation"


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("postgres:16.15", "docker.io"),
        ("team/nhm-assets:0.1.0", "docker.io"),
        ("registry.example/nhm-assets", "registry.example"),
        ("localhost/nhm-assets", "localhost"),
        ("registry:5000/nhm-assets", "registry:5000"),
    ],
)
def test_a_registry_is_the_first_part_of_a_name_if_that_is_a_host(image: str, registry: str):
    assert needs.registry_of(image) == registry


def test_an_optional_secret_is_not_needed_and_a_pull_secret_is():
    pod = {
        "containers": [{"image": "a", "envFrom": [{"secretRef": {"name": "maybe", "optional": True}}]}],
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [{"name": "x", "secret": {"secretName": "file"}}],
    }
    workload = {"kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {"template": {"spec": pod}}}
    assert needs.secret_keys([workload]) == [("n", "file", None)]
    assert needs.pull_secrets([workload]) == [("n", "registry", ".dockerconfigjson")]


def test_who_applies_a_role_must_hold_what_it_grants():
    granted = set(needs.grants(rendered(PRODUCTION)))
    assert ("patch", "apps", "deployments", "semantic-translation", "specialist-technical") in granted
    assert ("list", "", "pods", "semantic-translation", "") in granted
    assert ("create", "batch", "jobs", "mlflow", "") in granted


@pytest.mark.parametrize("overlay", [PRODUCTION, STANDALONE, OWN_SERVICES], ids=lambda overlay: overlay.name)
def test_an_api_server_with_a_private_address_is_open_and_any_other_is_named(overlay: Path):
    blocks = needs.api_server_blocks(rendered(overlay))
    assert blocks is not None
    service = {"spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"]}}
    endpoints = {"subsets": [{"addresses": [{"ip": "172.18.0.2"}, {"ip": "203.0.113.7"}]}, {"notReadyAddresses": []}]}
    addresses = needs.api_server_addresses(service, endpoints)
    assert addresses == ["10.96.0.1", "fd00::1", "172.18.0.2", "203.0.113.7"]
    assert needs.outside(addresses, blocks) == ["fd00::1", "203.0.113.7"]
    more = [needs.Block(one) for one in ("203.0.113.7/32", "fd00::/8")]
    assert needs.outside(addresses, [*blocks, *more]) == []


def policy(*egress: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "NetworkPolicy", "metadata": {"name": "nhm-api-server"}, "spec": {"egress": list(egress)}}


def test_a_network_of_a_policy_may_be_named_by_any_address_in_it_and_have_exceptions():
    block = {"cidr": "10.1.2.3/8", "except": ["10.96.1.1/16", "10.97.0.1/32"]}
    blocks = needs.api_server_blocks([policy({"to": [{"podSelector": {}}, {"ipBlock": block}]})])
    assert blocks is not None
    assert needs.outside(["10.9.9.9", "10.96.0.1", "10.97.0.1", "11.0.0.1"], blocks) == [
        "10.96.0.1",
        "10.97.0.1",
        "11.0.0.1",
    ]
    # Another rule may open what one leaves closed.
    assert needs.outside(["10.96.0.1"], [*blocks, needs.Block("10.96.0.1/32")]) == []


@pytest.mark.parametrize("everywhere", [{}, {"to": []}, {"ports": [{"port": 443}]}], ids=["all", "empty", "port"])
def test_a_rule_that_names_no_address_opens_all(everywhere: dict[str, Any]):
    assert needs.api_server_blocks([policy({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, everywhere)]) is None


def test_a_policy_without_a_rule_opens_none():
    assert needs.api_server_blocks([policy()]) == []


def test_without_the_policy_the_address_of_the_api_server_does_not_matter():
    assert needs.api_server_blocks([]) is None
    assert needs.api_server_addresses({}, {}) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://mlflow.mlflow.svc.cluster.local:5000", ("mlflow.mlflow.svc.cluster.local:5000", "mlflow", "mlflow")),
        ("http://mlflow:5000/prefix", ("mlflow:5000", "mlflow", "hive")),
        ("mongodb://u:p%40@db-0.db.data.svc:27018,db-1.db.data.svc/x?y=z", ("db-0.db.data.svc:27018", "db", "data")),
        ("mongodb+srv://cluster", ("cluster:27017", None, None)),
        ("mongodb://u:p@db.example.org/x", ("db.example.org:27017", None, None)),
        ("http://localhost", ("localhost:27017", None, None)),
        ("mongodb://nhm:s3cret", ("***:27017", None, None)),
    ],
)
def test_an_address_is_that_of_a_service_or_outside_and_shows_no_password(address: str, expected: tuple[Any, ...]):
    assert needs.server_at(address, 27017, "hive") == expected


def test_a_missing_right_to_ask_through_the_api_server_has_a_remedy_of_its_own():
    """The Role in the base does not have it on purpose, so nobody should add it there."""
    remedy = remedy_for("pods/proxy")
    assert "SPECIALIST_STATUS_URL" in remedy
    assert [path.name for path in (K8S / "components").iterdir() if f"component {path.name} " in remedy] == [
        "status-by-api-server"
    ]
    assert "nhm-rollout" in remedy_for("pods")
