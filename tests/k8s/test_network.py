"""Which pods may connect to which, derived from the NetworkPolicies as a cluster's network does."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.test_pod_security import faults
from tests.support.manifests import (
    OVERLAYS,
    PRODUCTION,
    STANDALONE,
    Manifest,
    find,
    pod_templates,
    rendered,
    schema_versions,
    validate,
    with_component,
)

PODS = ("webserver", "daemon", "code-location", "exporter", "specialist-retraining", "postgresql", "mlflow", "backup")
CONNECTIONS = {
    ("webserver", "code-location", 4000),
    ("daemon", "code-location", 4000),
    ("webserver", "postgresql", 5432),
    ("daemon", "postgresql", 5432),
    ("code-location", "postgresql", 5432),
    ("exporter", "postgresql", 5432),
    ("specialist-retraining", "postgresql", 5432),
    ("mlflow", "postgresql", 5432),
    ("backup", "postgresql", 5432),
    ("backup", "mlflow", 5000),
    ("code-location", "mlflow", 5000),
    ("exporter", "mlflow", 5000),
    ("specialist-retraining", "mlflow", 5000),
}
OUTSIDE = {
    "webserver": set(),
    "daemon": set(),
    "code-location": {443, 587, 27017},
    "exporter": {27017},
    "specialist-retraining": {27017},
    "postgresql": set(),
    "mlflow": set(),
    "backup": set(),
}


def labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "nhm-assets", "app": "neural-hive", "component": component}


def selects(selector: dict[str, Any], pod: dict[str, str]) -> bool:
    """Whether a selector matches a pod with these labels."""
    exact = all(pod.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(pod.get(term["key"]) in term["values"] for term in selector.get("matchExpressions", []))


def rules(policies: list[Manifest], component: str, direction: str) -> list[dict[str, Any]]:
    """The rules for one direction. A pod that no policy of that direction selects would be open to everybody."""
    matching = [
        policy["spec"]
        for policy in policies
        if direction.capitalize() in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], labels(component))
    ]
    assert matching, f"{component} is open"
    return [rule for spec in matching for rule in spec.get(direction, [])]


def allows(rule: dict[str, Any], side: str, other: str, port: int) -> bool:
    """Whether a rule allows a pod of the same namespace; a peer with a namespace selector means other namespaces."""
    if port not in {entry["port"] for entry in rule.get("ports", [])}:
        return False
    peers = rule.get(side)
    return peers is None or any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], labels(other))
        for peer in peers
    )


def allowed_connections(policies: list[Manifest]) -> set[tuple[str, str, int]]:
    ports = {"webserver": 3000, "code-location": 4000, "postgresql": 5432, "mlflow": 5000}
    return {
        (source, target, port)
        for source in PODS
        for target, port in ports.items()
        if any(allows(rule, "to", target, port) for rule in rules(policies, source, "egress"))
        and any(allows(rule, "from", source, port) for rule in rules(policies, target, "ingress"))
    }


def network_policies(overlay: Path) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] == "NetworkPolicy"]


@pytest.fixture(scope="module")
def policies() -> list[Manifest]:
    return network_policies(STANDALONE)


def test_pods_may_make_exactly_the_connections_that_they_need(policies: list[Manifest]):
    assert allowed_connections(policies) == CONNECTIONS


def test_an_extra_policy_is_noticed(policies: list[Manifest]):
    outwards = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 5000}]}]}
    inwards = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 5000}]}]}
    assert allowed_connections([*policies, {"spec": outwards}, {"spec": inwards}]) > CONNECTIONS


@pytest.mark.parametrize("component", PODS)
def test_a_pod_reaches_other_networks_only_on_the_expected_ports(policies: list[Manifest], component: str):
    outwards = [rule for rule in rules(policies, component, "egress") if "to" not in rule]
    assert {port["port"] for rule in outwards for port in rule["ports"]} == OUTSIDE[component]


def test_the_ui_is_open_to_a_proxy_whose_namespace_somebody_has_labelled(policies: list[Manifest]):
    """Whoever may create pods anywhere in the cluster could label one of them."""
    labelled = {"matchLabels": {"nhm/webserver-proxy": "true"}}
    (rule,) = rules(policies, "webserver", "ingress")
    assert rule["from"] == [{"namespaceSelector": labelled, "podSelector": labelled}]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_api_server_is_open_to_three_pods_at_addresses_that_the_overlay_names(overlay: Path):
    """A port that is open to any address lets a run send data anywhere."""
    policies = network_policies(overlay)
    peers = {
        component: [
            peer
            for rule in rules(policies, component, "egress")
            if 6443 in {entry["port"] for entry in rule["ports"]}
            for peer in rule["to"]
        ]
        for component in PODS
    }
    assert {component for component in PODS if peers[component]} == {"daemon", "webserver", "specialist-retraining"}
    named = [peer["ipBlock"]["cidr"] for peer in peers["daemon"]]
    text = (overlay / "kustomization.yaml").read_text()
    assert [one for one in named if f"ipBlock: {{cidr: {one}}}" not in text] == []
    assert all(ip_network(one).prefixlen >= 8 for one in named)


def test_a_pod_that_no_policy_names_is_closed(policies: list[Manifest]):
    assert rules(policies, "somebody-new", "ingress") == []
    with pytest.raises(AssertionError, match="is open"):
        rules(
            [policy for policy in policies if policy["metadata"]["name"] != "nhm-default-deny"],
            "somebody-new",
            "ingress",
        )


def test_prometheus_reaches_the_exporter_from_every_namespace_and_nothing_else(policies: list[Manifest]):
    """Its labels and its namespace differ from cluster to cluster."""
    open_to_all = {
        (component, port["port"])
        for component in PODS
        for rule in rules(policies, component, "ingress")
        for port in rule["ports"]
        if {"namespaceSelector": {}} in rule["from"]
    }
    assert open_to_all == {("exporter", 9465)}


FOREIGN_PODS = [
    {"app": "mlflow"},
    {"app": "neural-hive", "component": "mlflow"},
    {"app": "neural-hive", "component": "specialist-retraining"},
    {},
]
"""Labels of pods that may be in the namespace already; the field's own retraining Jobs have some of ours."""


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_no_policy_selects_a_pod_of_others(overlay: Path):
    """A policy that selects a pod cuts off everything that no policy allows it."""
    for policy in network_policies(overlay):
        assert not [pod for pod in FOREIGN_PODS if selects(policy["spec"]["podSelector"], pod)], policy["metadata"]


def test_beside_another_mlflow_the_same_pods_may_use_it():
    beside = allowed_towards({"app": "mlflow"}, 5000, network_policies(PRODUCTION))
    assert beside == {"code-location", "exporter", "specialist-retraining", "backup"}


def allowed_towards(pod: dict[str, str], port: int, policies: list[Manifest]) -> set[str]:
    """Which of our pods may connect to a pod of others in the namespace `mlflow`, as far as our policies decide."""
    there = {"matchLabels": {"kubernetes.io/metadata.name": "mlflow"}}
    return {
        source
        for source in PODS
        for rule in rules(policies, source, "egress")
        if port in {entry["port"] for entry in rule.get("ports", [])}
        and any(
            selects(peer.get("podSelector", {}), pod)
            for peer in rule.get("to", ())
            if peer.get("namespaceSelector", there) == there
        )
    }


def test_with_a_reading_address_the_specialists_have_no_other_way_to_the_platforms_mlflow(tmp_path: Path):
    manifests = with_component(tmp_path, "mlflow-read-only", STANDALONE)
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    door = "mlflow-read-only"
    assert allowed_connections(policies) == CONNECTIONS
    assert any(allows(rule, "to", "mlflow", 5000) for rule in rules(policies, door, "egress"))
    assert any(allows(rule, "from", door, 5000) for rule in rules(policies, "mlflow", "ingress"))
    there = {"matchLabels": {"kubernetes.io/metadata.name": "semantic-translation"}}
    from_there = {
        component: [
            peer.get("podSelector")
            for rule in rules(policies, component, "ingress")
            for peer in rule["from"]
            if peer.get("namespaceSelector") == there
        ]
        for component in (*PODS, door)
    }
    label = {"matchLabels": {"nhm/may-write-to-mlflow": "true"}}
    assert {component: peers for component, peers in from_there.items() if peers} == {"mlflow": [label], door: [None]}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_reading_address_can_be_added_to_every_overlay(overlay: Path, tmp_path: Path):
    manifests = with_component(tmp_path, "mlflow-read-only", overlay)
    template = find(manifests, "Deployment", "mlflow-read-only")["spec"]["template"]
    assert faults(template) == []
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    assert len([rule for rule in rules(policies, "mlflow-read-only", "egress") if rule["to"]]) >= 2
    validate(manifests, schema_versions()[-1])


def test_a_pod_that_knows_the_keys_of_the_store_reaches_it(tmp_path: Path):
    """Among them is the exporter's, in which people run `nhm status`: it would call the store down."""
    manifests = with_component(tmp_path, "s3-storage")
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    with_keys = {
        template["metadata"]["labels"]["component"]
        for _, template in pod_templates(manifests)
        for container in template["spec"]["containers"]
        if {"secretRef": {"name": "nhm-secrets", "optional": True}} in container.get("envFrom", ())
    }
    reaching = {
        component
        for component in PODS
        for rule in rules(policies, component, "egress")
        if "to" not in rule and 443 in {entry["port"] for entry in rule["ports"]}
    }
    assert reaching == with_keys == {"code-location", "exporter", "specialist-retraining", "backup"}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_minio_can_be_added_to_every_overlay_and_only_pods_that_store_reach_it(overlay: Path, tmp_path: Path):
    manifests = with_component(tmp_path, "minio", overlay)
    settings = find(manifests, "ConfigMap", "nhm-settings")["data"]
    (port,) = find(manifests, "Service", "nhm-minio")["spec"]["ports"]
    assert settings["AWS_ENDPOINT_URL"] == f"http://nhm-minio:{port['port']}"
    template = find(manifests, "StatefulSet", "nhm-minio")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    bucket = settings["NHM_STORAGE"].removeprefix("s3://").partition("/")[0]
    assert f"mkdir -p /data/{bucket};" in container["command"][-1]
    # A release of MinIO has a date in place of a number.
    assert faults(template) == ["has an image that is not pinned"]
    assert re.fullmatch(r"minio/minio:RELEASE\.[0-9-]{10}T[0-9-]{8}Z", container["image"])
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    let_in = rules(policies, "minio", "ingress")
    reaching = {
        source
        for source in PODS
        if any(allows(rule, "to", "minio", 9000) for rule in rules(policies, source, "egress"))
        and any(allows(rule, "from", source, 9000) for rule in let_in)
    }
    assert reaching == {"code-location", "exporter", "specialist-retraining", "backup"}
    validate(manifests, schema_versions()[-1])
