"""`nhm validate`: all five specialists, the words of the specialists' guide, and the exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

from nhm_assets.commands.cluster_after import lines_of_cluster
from nhm_assets.domain.specialists import FIVE
from nhm_assets.resource_factories import kubernetes_of
from nhm_assets.rollout.serving import Expected, PodVerdict, Serving
from nhm_assets.rollout.target import Target
from nhm_assets.rollout.validation import Validation, summary
from nhm_assets.settings import Settings
from resources.kubernetes import Cluster
from tests.support.kube import Namespace, deployment, namespace, rule
from tests.support.nhm import nhm, nhm_here
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.rollouts import Registry, cluster_settings
from tests.support.specialists import Answers, answering, status

TARGET = Target.of(Settings(), "technical", Cluster(ApiClient(), "nowhere", "nobody", timeout_s=1))
EXPECTED = Expected("technical", "6", None)
GOOD = PodVerdict("pod-1", model_loaded=True, mlflow_connected=True, status="SERVING")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([True, True], "True"),
        ([False], "False"),
        ([None], "?"),
        ([], "?"),
        (["SERVING", "SERVING"], "SERVING"),
        ([True, False, True], "True on 2 of 3 pods, False on 1 of 3 pods"),
    ],
)
def test_the_value_on_which_pods_agree_is_shown_once(values: list[Any], shown: str):
    assert summary(values) == shown


def pod(fault: str, **report: Any) -> PodVerdict:
    return PodVerdict("pod-2", **{"faults": (fault,), **report})


@pytest.mark.parametrize(
    ("bad", "cause", "command"),
    [
        (pod("it is not ready (Pending)"), "cannot start", "kubectl -n semantic-translation describe pod/pod-2"),
        (pod("it did not answer"), "hangs", "kubectl -n semantic-translation logs pod-2 --tail=100"),
        (
            pod("x", model_loaded=True, mlflow_connected=False, status="SERVING"),
            "MLFLOW_TRACKING_URI",
            "get deployment/specialist-technical -o yaml",
        ),
        (pod("x", model_loaded=False, mlflow_connected=True, status="SERVING"), "scikit-learn", "logs pod-2"),
        (
            pod("x", model_loaded=True, mlflow_connected=True, status="SERVING", version="5"),
            "before the promotion",
            "rollout history deployment/specialist-technical",
        ),
    ],
)
def test_a_fault_has_a_likely_cause_and_a_command(bad: PodVerdict, cause: str, command: str):
    ((likely_cause, its_command),) = causes_of((GOOD, bad)).items()
    assert cause in likely_cause
    assert command in its_command


def causes_of(pods: tuple[PodVerdict, ...], fault: str | None = None) -> dict[str, str]:
    return Validation(TARGET, Serving(EXPECTED, pods), fault).likely_causes()


def test_a_cause_that_many_pods_share_is_listed_once():
    bad = tuple(PodVerdict(f"pod-{number}", faults=("it did not answer",)) for number in range(3))
    assert [command.split()[4] for command in causes_of(bad).values()] == ["pod-0"]


def test_a_specialist_that_has_no_pods_or_no_version_or_cannot_be_seen_has_a_cause_too():
    assert "describe deployment" in next(iter(causes_of(()).values()))
    assert "get deployments,pods" in next(iter(Validation(TARGET, None, "forbidden").likely_causes().values()))
    assert next(iter(causes_of((GOOD,), "no version").values())) == "nhm status"


def test_a_specialist_that_is_loaded_has_no_causes():
    assert causes_of((GOOD, GOOD)) == {}


@pytest.fixture(scope="module")
def five(kubeconfig: Path) -> Iterator[Namespace]:
    """All five specialists, which the tests of this module only ask."""
    with namespace(kubeconfig) as found:
        for name in FIVE:
            found.add(deployment(f"specialist-{name}"), wait=False)
        for name in FIVE:
            found.ready(f"specialist-{name}", 1)
        yield found


@pytest.fixture
def answers() -> Iterator[Answers]:
    with answering(status()) as found:
        yield found


@pytest.fixture
def settings(platform: Platform, five: Namespace, answers: Answers) -> dict[str, Any]:
    """Settings of a platform with a version of every specialist in Production."""
    registry = Registry(platform)
    for name in FIVE:
        registry.promote(name)
    return {
        "nhm_home": platform.settings.nhm_home,
        **cluster_settings(five, specialist_status_url=answers.status_url),
    }


@pytest.mark.kubernetes
def test_five_of_five_loaded_is_exit_code_0(settings: dict[str, Any]):
    done = nhm("validate", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "5/5 specialists loaded their models"
    for name in FIVE:
        at = next(number for number, line in enumerate(lines) if line.startswith(f"{name}: "))
        assert "unproven" in lines[at]
        assert lines[at + 1 : at + 4] == ["  Model Loaded: True", "  MLflow Connected: True", "  Status: SERVING"]
    assert "Likely cause" not in done.stdout


@pytest.mark.kubernetes
def test_four_of_five_loaded_is_exit_code_1_with_a_cause(settings: dict[str, Any], five: Namespace, answers: Answers):
    (pod,) = five.pods("specialist-behavior")
    answers.by_pod[pod.status.pod_ip] = status(model_loaded="False", status="DEGRADED")
    done = nhm("validate", **settings)
    assert done.returncode == 1
    assert done.stdout.startswith("4/5 specialists loaded their models\n")
    section = done.stdout.partition("\nbehavior: ")[2].partition("\n\n")[0]
    assert "  Model Loaded: False\n  MLflow Connected: True\n  Status: DEGRADED\n" in section
    assert "Likely cause: no version was in Production when the pod started" in section
    assert f"To see more: kubectl -n {five.name} logs {pod.metadata.name}" in section
    assert done.stdout.count("Likely cause") == 1


@pytest.mark.kubernetes
def test_the_json_reports_the_same(settings: dict[str, Any], answers: Answers, five: Namespace):
    answers.otherwise = status(model_version="1")
    (pod,) = five.pods("specialist-evolution")
    answers.by_pod[pod.status.pod_ip] = status(model_version="7")
    done = nhm("validate", "--json", **settings)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["loaded"], found["of"]) == (4, 5)
    by_name = {one["specialist"]: one for one in found["specialists"]}
    assert {name: one["proven"] for name, one in by_name.items()} == {name: name != "evolution" for name in FIVE}
    assert by_name["technical"]["likely_causes"] == []
    assert by_name["evolution"]["version_in_production"] == "1"
    assert by_name["evolution"]["pods"][0]["version"] == "7"
    assert by_name["evolution"]["likely_causes"][0]["command"].endswith("deployment/specialist-evolution")


@pytest.mark.kubernetes
def test_without_a_version_in_production_nothing_is_loaded(platform: Platform, five: Namespace, answers: Answers):
    access = cluster_settings(five, specialist_status_url=answers.status_url)
    done = nhm("validate", nhm_home=platform.settings.nhm_home, **access)
    assert done.returncode == 1
    assert done.stdout.startswith("0/5 specialists loaded their models\n")
    assert "To see more: nhm status" in done.stdout


@pytest.mark.kubernetes
def test_without_mlflow_the_pods_are_shown_and_the_exit_code_is_1(settings: dict[str, Any]):
    away = {"mlflow_tracking_uri": f"http://127.0.0.1:{free_port()}", "mlflow_timeout_s": 1}
    done = nhm("validate", **settings, **away)
    assert done.returncode == 1
    assert "Model Loaded: True" in done.stdout
    assert "were not compared with those in Production" in done.stderr


@pytest.mark.kubernetes
def test_with_two_versions_in_production_the_pods_are_shown_and_the_exit_code_is_1(
    settings: dict[str, Any], platform: Platform
):
    with platform.mlflow.client() as client:
        client.create_model_version("technical-evaluator", "file:///nowhere")
        client.transition_model_version_stage("technical-evaluator", "2", "Production")
    done = nhm("validate", **settings)
    assert done.returncode == 1
    assert "Model Loaded: True" in done.stdout
    assert "technical-evaluator has versions 2, 1 in stage Production" in done.stderr


@pytest.mark.kubernetes
@pytest.mark.slow
def test_cluster_check_in_a_pod_asks_for_rights_services_and_statuses(
    settings: dict[str, Any], five: Namespace, answers: Answers, tmp_path: Path
):
    """A pod that says no does answer; a silent one does not."""
    (denies,), (silent,) = five.pods("specialist-behavior"), five.pods("specialist-evolution")
    answers.by_pod[denies.status.pod_ip] = status(model_loaded="False")
    answers.by_pod[silent.status.pod_ip] = lambda _: None
    found = nhm("cluster", "check", **settings)
    lines = found.stdout.splitlines()
    assert found.returncode == 1, found.stdout + found.stderr
    assert [line.split()[1] for line in lines if line.startswith("FAULT")] == ["evolution"]
    assert any(f"1 of 1 pods cannot be asked: {silent.metadata.name}" in line for line in lines)
    assert "ok       behavior /status: 1 of 1 pods answer" in lines
    assert "ok       rights: this account may restart all 5 specialists and watch their pods" in lines
    assert [line.split()[1] for line in lines if line.startswith("ok")][:2] == ["MongoDB:", "MLflow:"]

    few = five.user(tmp_path, rule("apps", "deployments", "get"), rule("apps", "replicasets", "list"))
    weak = Settings(**settings | {"kubeconfig": few})
    with kubernetes_of(weak).cluster() as cluster:
        refused = [line.found for line in lines_of_cluster(weak, cluster) if line.state == "FAULT"]
    assert f"this account may not patch deployments specialist-technical in {five.name}" in refused
    assert f"this account may not list pods in {five.name}" in refused


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "no cluster is configured"), ({"kubeconfig": "nowhere"}, "cannot be used")],
)
def test_without_a_cluster_the_exit_code_is_1_and_says_why(tmp_path: Path, changes: dict[str, str], expected: str):
    done = nhm_here("validate", nhm_home=tmp_path, **changes)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
