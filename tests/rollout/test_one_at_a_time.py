"""Two specialists never restart at once, whoever restarts the other one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from nhm_assets.resource_factories import kubernetes_of
from nhm_assets.rollout.execute import Result, execute
from nhm_assets.rollout.target import Target
from tests.support.kube import Namespace, deployment
from tests.support.platform import Platform, failed_step
from tests.support.rollouts import Registry, roll_out, rollout_request

pytestmark = pytest.mark.kubernetes

NAME = "specialist-technical"
AT = "kubectl.kubernetes.io/restartedAt"


def test_two_specialists_never_restart_at_once(hive: Platform, specialists: Namespace, registry: Registry):
    """The pods of the second are created only after those of the first are ready."""
    specialists.add(deployment("specialist-business", template={"nhm.test/ready-after": "1"}))
    specialists.annotate_template(NAME, ready_after="1")
    requests = {name: rollout_request(name, registry.promote(name)) for name in ("technical", "business")}
    audit_log = hive.database["model_audit_log"]
    with kubernetes_of(hive.settings).cluster() as cluster, hive.mlflow.client() as client:

        def run_one(name: str) -> Result:
            return execute(Target.of(hive.settings, name, cluster), client, audit_log, requests[name])

        with ThreadPoolExecutor(2) as threads:
            results = list(threads.map(run_one, requests))
    assert [result.status for result in results] == ["rolled out", "rolled out"]
    (_, first_end), (second_begin, _) = sorted(span(specialists, name) for name in (NAME, "specialist-business"))
    assert first_end <= second_begin


def span(specialists: Namespace, name: str) -> tuple[datetime, datetime]:
    """From the creation of a Deployment's first pod until its last pod was ready."""
    pods = specialists.pods(name)
    ready = [one.last_transition_time for pod in pods for one in pod.status.conditions if one.type == "Ready"]
    return min(pod.metadata.creation_timestamp for pod in pods), max(ready)


def test_a_rollout_that_somebody_else_began_blocks_ours(hive: Platform, specialists: Namespace, registry: Registry):
    specialists.add(deployment("specialist-business"))
    specialists.annotate_template("specialist-business", ready_after="never")
    registry.promote()
    message = failed_step(roll_out(hive.with_settings(rollout_timeout_s=1)))[1]
    assert "the rollout of specialist-business did not end within 1 s (ROLLOUT_TIMEOUT_S)" in message
    assert AT not in specialists.annotations(NAME)

    two = hive.with_settings(rollout_parallel=2)
    assert roll_out(two).success
    assert AT in specialists.annotations(NAME)


def test_a_specialist_that_is_stuck_blocks_nobody(hive: Platform, specialists: Namespace, registry: Registry):
    broken = deployment("specialist-business", progressDeadlineSeconds=1, template={"nhm.test/ready-after": "never"})
    specialists.add(broken, wait=False)
    registry.promote()
    assert roll_out(hive).success
