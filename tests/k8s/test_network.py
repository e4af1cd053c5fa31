"""Who may talk to whom, worked out from the NetworkPolicies as a cluster's network would."""

from typing import Any

import pytest

from tests.support.manifests import PRODUCTION, Manifest, rendered

PODS = ("webserver", "daemon", "code-location", "specialist-retraining", "postgresql", "mlflow")
WAYS = {
    ("webserver", "code-location", 4000),
    ("daemon", "code-location", 4000),
    ("webserver", "postgresql", 5432),
    ("daemon", "postgresql", 5432),
    ("code-location", "postgresql", 5432),
    ("specialist-retraining", "postgresql", 5432),
    ("mlflow", "postgresql", 5432),
    ("code-location", "mlflow", 5000),
    ("specialist-retraining", "mlflow", 5000),
}
OUTSIDE = {
    "webserver": {443, 6443},
    "daemon": {443, 6443},
    "code-location": {443, 587, 27017},
    "specialist-retraining": {443, 6443, 27017},
    "postgresql": set(),
    "mlflow": set(),
}


def labels(component: str) -> dict[str, str]:
    return {"app": "neural-hive", "component": component}


def selects(selector: dict[str, Any], found: dict[str, str]) -> bool:
    exact = all(found.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(found.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))


def rules(policies: list[Manifest], component: str, direction: str) -> list[dict[str, Any]]:
    """The rules for one direction; a pod that no policy of that direction selects would be open to all."""
    applying = [
        one["spec"]
        for one in policies
        if direction.capitalize() in one["spec"]["policyTypes"]
        and selects(one["spec"]["podSelector"], labels(component))
    ]
    assert applying, f"{component} is open"
    return [rule for spec in applying for rule in spec.get(direction, [])]


def allows(rule: dict[str, Any], side: str, other: str, port: int) -> bool:
    """Whether a rule lets through a pod of the same namespace; a peer with a namespace selector means other ones."""
    if port not in {one["port"] for one in rule.get("ports", [])}:
        return False
    peers = rule.get(side)
    return peers is None or any(
        "podSelector" in one and "namespaceSelector" not in one and selects(one["podSelector"], labels(other))
        for one in peers
    )


def open_ways(policies: list[Manifest]) -> set[tuple[str, str, int]]:
    ports = {"webserver": 3000, "code-location": 4000, "postgresql": 5432, "mlflow": 5000}
    return {
        (source, target, port)
        for source in PODS
        for target, port in ports.items()
        if any(allows(rule, "to", target, port) for rule in rules(policies, source, "egress"))
        and any(allows(rule, "from", source, port) for rule in rules(policies, target, "ingress"))
    }


@pytest.fixture(scope="module")
def policies() -> list[Manifest]:
    return [one for one in rendered(PRODUCTION) if one["kind"] == "NetworkPolicy"]


def test_the_ways_inside_are_the_ones_that_the_work_needs(policies: list[Manifest]):
    assert open_ways(policies) == WAYS


def test_one_policy_too_much_is_noticed(policies: list[Manifest]):
    everything = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 5000}]}]}
    inwards = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 5000}]}]}
    assert open_ways([*policies, {"spec": everything}, {"spec": inwards}]) > WAYS


@pytest.mark.parametrize("component", PODS)
def test_a_pod_reaches_outside_only_on_the_ports_of_its_services(policies: list[Manifest], component: str):
    outwards = [rule for rule in rules(policies, component, "egress") if "to" not in rule]
    assert {port["port"] for rule in outwards for port in rule["ports"]} == OUTSIDE[component]


def test_nothing_is_open_that_no_policy_names(policies: list[Manifest]):
    assert rules(policies, "somebody-new", "ingress") == []
    with pytest.raises(AssertionError, match="is open"):
        rules([one for one in policies if one["metadata"]["name"] != "default-deny"], "somebody-new", "ingress")
