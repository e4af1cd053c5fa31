"""`specialist_rollout` in a real cluster: restarts, refusals and failures, and how it reports them."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nhm_assets.domain.records import Rollout
from nhm_assets.resource_factories import kubernetes_of
from nhm_assets.rollout.execute import execute
from nhm_assets.rollout.target import Target
from tests.support.kube import ENOUGH, Namespace, rule
from tests.support.platform import Platform, failed_step, verdicts
from tests.support.processes import ROOT, eventually
from tests.support.rollouts import Registry, roll_out, rollout_request

pytestmark = pytest.mark.kubernetes

NAME = "specialist-technical"
AT = "kubectl.kubernetes.io/restartedAt"
READY_AFTER = "nhm.test/ready-after"


def test_a_promoted_version_is_rolled_out_and_recorded(hive: Platform, specialists: Namespace, registry: Registry):
    version = registry.promote()
    before = {one.metadata.name for one in specialists.pods(NAME)}
    result = roll_out(hive)
    assert result.success
    rollout: Rollout = result.asset_value("specialist_rollout")
    pods = {one.metadata.name for one in specialists.pods(NAME)}
    assert not pods & before
    assert (rollout.status, set(rollout.pods)) == ("rolled out", pods)
    assert [rollout.old_replica_set, rollout.new_replica_set] == specialists.replica_sets(NAME)
    assert (rollout.loaded, rollout.proven) == (True, False)
    assert rollout.seconds > 0
    written = specialists.annotations(NAME)
    assert (written["nhm/model-version"], written["nhm/dagster-run-id"]) == (version, result.run_id)
    assert AT in written
    assert verdicts(result) == {"models_loaded": True}


def test_a_retry_for_the_version_that_runs_restarts_nothing(hive: Platform, specialists: Namespace, registry: Registry):
    registry.promote()
    roll_out(hive)
    before = specialists.get(NAME)["metadata"]["generation"]
    again = roll_out(hive).asset_value("specialist_rollout")
    assert (again.status, again.old_replica_set) == ("already running", None)
    assert specialists.get(NAME)["metadata"]["generation"] == before
    registry.promote()
    assert roll_out(hive).asset_value("specialist_rollout").status == "rolled out"


def test_without_a_cluster_the_record_says_so_and_no_check_has_a_result(platform: Platform, registry: Registry):
    registry.promote()
    result = roll_out(platform)
    assert result.success
    assert result.asset_value("specialist_rollout").status == "not configured"
    assert verdicts(result) == {}


def test_the_audit_log_says_who_rolled_out_what(hive: Platform, registry: Registry):
    version = registry.promote()
    result = roll_out(hive)
    entry = hive.database["model_audit_log"].find_one({"kind": "rollout"})
    expected = {"specialist": "technical", "version": version, "dagster_run_id": result.run_id, "result": "rolled out"}
    assert expected.items() <= entry.items()
    assert (entry["state"], entry["loaded"], entry["proven"]) == ("done", True, False)
    assert entry["seconds"] > 0


def test_pods_that_never_become_ready_are_reported_with_their_reasons_at_once(
    hive: Platform, specialists: Namespace, registry: Registry
):
    specialists.patch(NAME, progressDeadlineSeconds=6)
    specialists.annotate_template(NAME, waiting="ImagePullBackOff")
    registry.promote()
    started = time.monotonic()
    result = roll_out(hive)
    assert time.monotonic() - started < hive.settings.rollout_timeout_s
    step, message = failed_step(result)
    assert step == "specialist_rollout"
    assert "RolloutFailed" in message
    assert "has timed out progressing" in message
    assert "ImagePullBackOff" in message
    assert verdicts(result) == {"models_loaded": False}
    entry = hive.database["model_audit_log"].find_one({"kind": "rollout"})
    assert (entry["result"], entry["state"]) == ("failed", "done")


def test_pods_that_cannot_be_created_are_reported_with_the_events_that_say_why(
    hive: Platform, specialists: Namespace, registry: Registry
):
    specialists.patch(
        NAME, progressDeadlineSeconds=6, template={"spec": {"serviceAccountName": "nobody-knows-this-account"}}
    )
    registry.promote()
    message = failed_step(roll_out(hive))[1]
    assert "has timed out progressing" in message
    assert "events: FailedCreate: " in message
    assert "nobody-knows-this-account" in message


def test_pods_that_exceed_the_time_limit_are_reported(hive: Platform, specialists: Namespace, registry: Registry):
    specialists.annotate_template(NAME, ready_after="never")
    registry.promote()
    message = failed_step(roll_out(hive.with_settings(rollout_timeout_s=15)))[1]
    assert "not ready after 15 s (ROLLOUT_TIMEOUT_S)" in message
    assert "running, but not ready" in message


def test_a_retry_after_a_failure_restarts_again(hive: Platform, specialists: Namespace, registry: Registry):
    specialists.patch(NAME, progressDeadlineSeconds=2)
    specialists.annotate_template(NAME, ready_after="never")
    registry.promote()
    assert not roll_out(hive).success
    specialists.patch(NAME, progressDeadlineSeconds=600)
    specialists.annotate_template(NAME, ready_after="0.2")
    assert roll_out(hive).asset_value("specialist_rollout").loaded


def test_the_retry_of_an_interrupted_rollout_waits_for_it_and_does_not_restart_again(
    hive: Platform, specialists: Namespace, registry: Registry
):
    version = registry.promote()
    restarted = {"nhm/model-version": version, AT: "2026-03-01T00:00:00Z", READY_AFTER: "never"}
    specialists.patch(NAME, template={"metadata": {"annotations": restarted}})
    lines: list[str] = []
    audit_log = hive.database["model_audit_log"]
    with (
        kubernetes_of(hive.settings).cluster() as cluster,
        hive.mlflow.client() as client,
        ThreadPoolExecutor(1) as thread,
    ):
        target = Target.of(hive.settings, "technical", cluster, lines.append)
        rollout = thread.submit(execute, target, client, audit_log, rollout_request("technical", version))
        assert eventually(lambda: f"{NAME}: the restart for version {version} has already begun" in lines)
        assert eventually(lambda: len(specialists.pods(NAME)) == 4)
        for pod in specialists.pods(NAME):
            body = {"metadata": {"annotations": {READY_AFTER: "0"}}}
            specialists.core.patch_namespaced_pod(pod.metadata.name, specialists.name, body)
        result = rollout.result(timeout=120)
    assert result.status == "rolled out"
    assert result.restart is not None
    assert len(result.restart.pods) == 2
    assert specialists.annotations(NAME)[AT] == "2026-03-01T00:00:00Z"


def test_a_paused_deployment_is_refused_with_what_to_do(hive: Platform, specialists: Namespace, registry: Registry):
    specialists.patch(NAME, paused=True)
    registry.promote()
    result = roll_out(hive)
    assert f"kubectl -n {specialists.name} rollout resume deployment/{NAME}" in failed_step(result)[1]
    assert verdicts(result) == {}
    assert AT not in specialists.annotations(NAME)


def test_a_deployment_that_is_paused_during_its_rollout_is_refused(
    hive: Platform, specialists: Namespace, registry: Registry
):
    specialists.annotate_template(NAME, ready_after="never")
    registry.promote()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(roll_out, hive)
        while AT not in specialists.annotations(NAME):
            time.sleep(0.1)
        specialists.patch(NAME, paused=True)
        assert "is paused" in failed_step(waiting.result(timeout=120))[1]


def test_a_deployment_without_replicas_is_not_restarted_and_no_check_has_a_result(
    hive: Platform, specialists: Namespace, registry: Registry
):
    specialists.patch(NAME, replicas=0)
    registry.promote()
    result = roll_out(hive)
    assert result.success
    rollout: Rollout = result.asset_value("specialist_rollout")
    assert (rollout.status, rollout.pods, rollout.loaded) == ("no replicas", [], None)
    assert verdicts(result) == {}
    assert AT not in specialists.annotations(NAME)


def test_a_missing_deployment_is_named(hive: Platform, registry: Registry):
    registry.promote()
    result = roll_out(hive.with_settings(specialist_deployment="nobody-{specialist}"))
    assert "no Deployment nobody-technical in namespace" in failed_step(result)[1]
    assert verdicts(result) == {}


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ((), "get Deployment specialist-technical"),
        ((rule("apps", "deployments", "get"), *ENOUGH[1:]), "patch Deployment specialist-technical"),
        ((ENOUGH[0], *ENOUGH[2:]), "list ReplicaSets"),
    ],
)
def test_a_missing_right_is_named_with_the_account_that_lacks_it(
    hive: Platform, specialists: Namespace, registry: Registry, tmp_path: Path, rules: tuple, missing: str
):
    registry.promote()
    access = specialists.user(tmp_path, *rules)
    message = failed_step(roll_out(hive.with_settings(kubeconfig=access)))[1]
    account = f"system:serviceaccount:{specialists.name}:{access.stem}"
    assert f"does not allow {account} to {missing} in namespace {specialists.name}" in message
    assert AT not in specialists.annotations(NAME)


def test_few_rights_are_enough(hive: Platform, specialists: Namespace, registry: Registry, tmp_path: Path):
    registry.promote()
    access = specialists.user(tmp_path, *ENOUGH)
    assert roll_out(hive.with_settings(kubeconfig=access)).asset_value("specialist_rollout").loaded


def test_a_version_that_is_no_longer_in_production_restarts_nothing(
    hive: Platform, specialists: Namespace, registry: Registry
):
    old = registry.promote()
    new = registry.promote()
    registry.record("technical", old)
    result = roll_out(hive)
    rollout: Rollout = result.asset_value("specialist_rollout")
    assert rollout.status == "superseded"
    assert f"(now: version {new})" in rollout.reason
    assert verdicts(result) == {}
    assert AT not in specialists.annotations(NAME)


IN_A_POD = """
from resources.kubernetes import Kubernetes
with Kubernetes(kubeconfig=None, in_pod=True, timeout_s=5).cluster() as cluster:
    print(cluster.deployment("{namespace}", "specialist-technical")["metadata"]["name"])
    cluster.pods("kube-system", "")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a ServiceAccount's token on the stand-in node")
def test_in_a_pod_its_own_service_account_is_used(hive: Platform, specialists: Namespace, tmp_path: Path):
    account = specialists.user(tmp_path, *ENOUGH).stem
    command = [sys.executable, "-c", IN_A_POD.format(namespace=specialists.name)]
    environment = [{"name": "PYTHONPATH", "value": str(ROOT)}]
    container = {"name": "run", "image": "run", "command": command, "env": environment}
    spec = {"restartPolicy": "Never", "serviceAccountName": account, "containers": [container]}
    specialists.core.create_namespaced_pod(specialists.name, {"metadata": {"name": "run"}, "spec": spec})

    def ended() -> bool:
        return specialists.core.read_namespaced_pod("run", specialists.name).status.phase in ("Succeeded", "Failed")

    assert eventually(ended)
    log = specialists.core.read_namespaced_pod_log("run", specialists.name, _preload_content=False).data.decode()
    assert "specialist-technical\n" in log
    refused = f"does not allow system:serviceaccount:{specialists.name}:{account} to list pods in namespace kube-system"
    assert refused in log
