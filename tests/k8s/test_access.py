"""A real API server gives the three ServiceAccounts exactly the rights that are listed here."""

import pytest

from tests.k8s.conftest import SPECIALISTS_NAMESPACE as SPECIALISTS
from tests.k8s.conftest import Cluster

pytestmark = pytest.mark.kubernetes

PLATFORM = "mlflow"

ALLOWED = {
    "nhm-dagster": [
        (PLATFORM, "create", "jobs"),
        (PLATFORM, "list", "jobs"),
        (PLATFORM, "delete", "jobs"),
        (PLATFORM, "get", "jobs/status"),
        (PLATFORM, "get", "pods"),
        (PLATFORM, "list", "pods"),
        (PLATFORM, "delete", "pods"),
        (PLATFORM, "get", "pods/log"),
        (PLATFORM, "list", "events"),
    ],
    "nhm-webserver": [
        (PLATFORM, "delete", "jobs"),
        (PLATFORM, "list", "pods"),
        (PLATFORM, "delete", "pods"),
    ],
    "nhm-run": [
        (SPECIALISTS, "get", "deployment/specialist-technical"),
        (SPECIALISTS, "patch", "deployment/specialist-technical"),
        (SPECIALISTS, "patch", "deployment/specialist-business"),
        (SPECIALISTS, "patch", "deployment/specialist-behavior"),
        (SPECIALISTS, "patch", "deployment/specialist-evolution"),
        (SPECIALISTS, "patch", "deployment/specialist-architecture"),
        (SPECIALISTS, "list", "replicasets"),
        (SPECIALISTS, "list", "pods"),
        (SPECIALISTS, "list", "events"),
    ],
}
FORBIDDEN = {
    "nhm-dagster": [
        (PLATFORM, "get", "secrets"),
        (PLATFORM, "get", "secret/mongodb-secret"),
        (PLATFORM, "list", "secrets"),
        (PLATFORM, "get", "configmaps"),
        (PLATFORM, "update", "configmaps"),
        (PLATFORM, "get", "jobs"),
        (PLATFORM, "patch", "jobs"),
        (PLATFORM, "deletecollection", "jobs"),
        (PLATFORM, "create", "pods"),
        (PLATFORM, "create", "pods/exec"),
        (PLATFORM, "patch", "deployments"),
        (PLATFORM, "create", "serviceaccounts/token"),
        (PLATFORM, "create", "rolebindings"),
        (SPECIALISTS, "create", "jobs"),
        (SPECIALISTS, "list", "pods"),
        (SPECIALISTS, "patch", "deployment/specialist-technical"),
        ("default", "create", "jobs"),
        ("kube-system", "get", "secrets"),
    ],
    "nhm-webserver": [
        (PLATFORM, "create", "jobs"),
        (PLATFORM, "patch", "jobs"),
        (PLATFORM, "create", "pods"),
        (PLATFORM, "create", "pods/exec"),
        (PLATFORM, "get", "pods/log"),
        (PLATFORM, "get", "secrets"),
        (PLATFORM, "get", "configmaps"),
        (PLATFORM, "create", "serviceaccounts/token"),
        (SPECIALISTS, "list", "pods"),
        (SPECIALISTS, "patch", "deployment/specialist-technical"),
        ("kube-system", "get", "secrets"),
    ],
    "nhm-run": [
        (PLATFORM, "get", "secrets"),
        (PLATFORM, "list", "secrets"),
        (PLATFORM, "get", "secret/mongodb-secret"),
        (PLATFORM, "get", "secret/mlflow-postgresql-secret"),
        (PLATFORM, "list", "pods"),
        (PLATFORM, "get", "configmaps"),
        (PLATFORM, "update", "secret/mongodb-secret"),
        (PLATFORM, "update", "configmaps"),
        (PLATFORM, "create", "jobs"),
        (PLATFORM, "delete", "jobs"),
        (PLATFORM, "create", "pods"),
        (PLATFORM, "delete", "pods"),
        (PLATFORM, "get", "pods/log"),
        (PLATFORM, "create", "pods/exec"),
        (PLATFORM, "patch", "deployment/nhm-code"),
        (PLATFORM, "create", "serviceaccounts/token"),
        (SPECIALISTS, "get", "deployments"),
        (SPECIALISTS, "list", "deployments"),
        (SPECIALISTS, "patch", "deployments"),
        (SPECIALISTS, "patch", "deployment/consensus-engine"),
        (SPECIALISTS, "update", "deployment/specialist-technical"),
        (SPECIALISTS, "delete", "deployment/specialist-technical"),
        (SPECIALISTS, "create", "deployments"),
        (SPECIALISTS, "patch", "deployments/scale"),
        (SPECIALISTS, "delete", "pods"),
        (SPECIALISTS, "get", "pods"),
        (SPECIALISTS, "get", "pods/proxy"),
        (SPECIALISTS, "create", "pods/exec"),
        (SPECIALISTS, "get", "pods/log"),
        (SPECIALISTS, "get", "secrets"),
        (SPECIALISTS, "get", "configmaps"),
        ("default", "list", "pods"),
        ("kube-system", "get", "secrets"),
    ],
}
CLUSTER_WIDE = [("list", "nodes"), ("list", "namespaces"), ("create", "clusterrolebindings"), ("list", "secrets")]


def may(cluster: Cluster, account: str, verb: str, target: str, *scope: str) -> bool:
    """Whether the API server allows an account to do this; a subresource follows its resource after a slash."""
    resource, _, subresource = target.partition("/")
    question = [verb, target] if resource in {"secret", "deployment"} else [verb, resource]
    if subresource and question[1] == resource:
        question.append(f"--subresource={subresource}")
    done = cluster.try_kubectl("auth", "can-i", *question, f"--as=system:serviceaccount:{PLATFORM}:{account}", *scope)
    answer = done.stdout.strip().splitlines()[-1]
    assert answer.split()[0] in {"yes", "no"}, done.stderr
    return answer.startswith("yes")


def allowed(cluster: Cluster, table: dict[str, list[tuple[str, str, str]]], account: str) -> set[tuple[str, ...]]:
    """The rows of a table that the API server allows the account."""
    return {row for row in table[account] if may(cluster, account, row[1], row[2], "-n", row[0])}


@pytest.mark.parametrize("account", ALLOWED)
def test_an_account_may_do_what_its_work_needs(deployed: Cluster, account: str):
    assert allowed(deployed, ALLOWED, account) == set(ALLOWED[account])


@pytest.mark.parametrize("account", FORBIDDEN)
def test_an_account_may_do_nothing_else(deployed: Cluster, account: str):
    assert allowed(deployed, FORBIDDEN, account) == set()


@pytest.mark.parametrize("account", ALLOWED)
def test_an_account_has_no_rights_over_the_whole_cluster(deployed: Cluster, account: str):
    assert not any(may(deployed, account, verb, target, "--all-namespaces") for verb, target in CLUSTER_WIDE)


def rights(cluster: Cluster, account: str, namespace: str) -> set[str]:
    """Every right that the server lists for the account, without those that every account has."""
    listed = cluster.kubectl(
        "auth", "can-i", "--list", "-n", namespace, f"--as=system:serviceaccount:{PLATFORM}:{account}"
    )
    lines = [" ".join(line.split()) for line in listed.splitlines()[1:]]
    return {line for line in lines if not line.startswith(("[", "selfsubject"))}


@pytest.mark.parametrize(
    ("account", "namespace", "count"),
    [
        ("nhm-dagster", PLATFORM, 5),
        ("nhm-webserver", PLATFORM, 2),
        ("nhm-run", PLATFORM, 0),
        ("nhm-webserver", SPECIALISTS, 0),
        ("nhm-run", SPECIALISTS, 8),
        ("nhm-dagster", SPECIALISTS, 0),
        # The account of pods that name none.
        ("default", PLATFORM, 0),
        ("default", SPECIALISTS, 0),
    ],
)
def test_the_tables_are_complete(deployed: Cluster, account: str, namespace: str, count: int):
    listed = rights(deployed, account, namespace)
    assert len(listed) == count, listed


def test_an_extra_right_is_noticed(deployed: Cluster):
    """With one more RoleBinding, the tests above would fail."""
    binding = ["rolebinding", "too-much", "-n", PLATFORM]
    deployed.kubectl("create", *binding, "--clusterrole=view", f"--serviceaccount={PLATFORM}:nhm-run")
    try:
        assert allowed(deployed, FORBIDDEN, "nhm-run")
    finally:
        deployed.kubectl("delete", *binding)
