"""Every pod runs with as few rights as possible, and only pods that need the API server get a token for it."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from nhm_assets.domain.specialists import FIVE
from tests.support.manifests import (
    JOB_FILE,
    KIND,
    STANDALONE,
    Manifest,
    containers,
    documents,
    find,
    pod_templates,
    rendered,
)


def faults_of_pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield "may run as root"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "may make any system call"
    if "automountServiceAccountToken" not in pod:
        yield "gets a token by default"
    if pod.get("automountServiceAccountToken") and pod.get("serviceAccountName", "default") == "default":
        yield "gets a token of the default account"


def faults_of_container(container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if not security.get("readOnlyRootFilesystem"):
        yield "has a writable root file system"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    resources = container.get("resources", {})
    if not resources.get("requests", {}).get("cpu") or not resources.get("limits", {}).get("memory"):
        yield "has no resources"
    elif resources["requests"]["memory"] != resources["limits"]["memory"]:
        yield "may lose memory that it uses"
    if not re.fullmatch(r"[a-z-]+:[0-9][0-9.]+", container["image"]):
        yield "has an image that is not pinned"


def faults(template: Manifest) -> list[str]:
    """Why the pods of a template have more rights than they should have."""
    in_containers = [fault for container in containers(template) for fault in faults_of_container(container)]
    return [*faults_of_pod(template["spec"]), *in_containers]


def test_every_pod_is_restricted():
    manifests = [*rendered(KIND), *documents(JOB_FILE)]
    by_workload = {name: faults(template) for name, template in pod_templates(manifests)}
    assert by_workload.keys() >= {name for name, _ in pod_templates(rendered(STANDALONE))}
    assert len(by_workload) == 10 + len(("mongodb", *FIVE))
    assert {name: listed for name, listed in by_workload.items() if listed} == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("serviceAccountName",), "default"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        (("containers", 0, "resources", "limits"), {"memory": "8Gi"}),
        (("containers", 0, "image"), "nhm-assets"),
        (("containers", 0, "image"), "nhm-assets:latest"),
    ],
)
def test_a_pod_that_is_not_restricted_is_noticed(production: list[Manifest], path: tuple[Any, ...], value: Any):
    template = copy.deepcopy(find(production, "Deployment", "dagster-daemon")["spec"]["template"])
    target = template["spec"]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert len(faults(template)) == 1


def test_only_pods_that_use_the_api_server_have_a_token(production: list[Manifest]):
    with_token = {
        name for name, template in pod_templates(production) if template["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {
        "Deployment/dagster-daemon",
        "Deployment/dagster-webserver",
        "CronJob/specialist-models-retraining",
        "Job/train-specialist-models",
    }
