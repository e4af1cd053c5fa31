"""ROLLBACK_ON_FAILED_ROLLOUT puts the previous version back into Production and into the pods, and reports it."""

from typing import Any

import pytest

from nhm_assets.registry.versions import version_in_production
from nhm_assets.registry.vocabulary import ROLLED_BACK_TAG
from tests.support.kube import Namespace
from tests.support.platform import Platform, failed_step, verdicts
from tests.support.processes import eventually
from tests.support.rollouts import Registry, roll_out
from tests.support.specialists import Answers, reply, silent, status, unavailable

pytestmark = pytest.mark.kubernetes

NAME = "specialist-technical"
MODEL = "technical-evaluator"


@pytest.fixture
def with_rollback(hive: Platform) -> Platform:
    return hive.with_settings(rollback_on_failed_rollout=True, model_load_timeout_s=1)


def in_production(platform: Platform) -> str | None:
    with platform.mlflow.client() as client:
        found = version_in_production(client, MODEL)
        return str(found.version) if found else None


def denying(specialists: Namespace, version: str) -> Any:
    """An answer of pods that cannot load this version, but every other one."""

    def answer(handler: Any) -> None:
        running = specialists.annotations(NAME).get("nhm/model-version")
        reply(handler, status(model_loaded=str(running != version)))

    return answer


@pytest.mark.slow
def test_a_model_that_does_not_load_brings_the_previous_version_back(
    with_rollback: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    old = registry.promote()
    roll_out(with_rollback)
    new = registry.promote()
    answers.otherwise = denying(specialists, new)
    result = roll_out(with_rollback)
    message = failed_step(result)[1]
    assert f"{MODEL} version {new} does not serve: 2 of 2 pods" in message
    assert f"ROLLED BACK to version {old}. The specialist was restarted: 2 of 2 pods have a model loaded" in message
    assert in_production(with_rollback) == old
    assert specialists.annotations(NAME)["nhm/model-version"] == old
    assert verdicts(result) == {"models_loaded": False}
    with with_rollback.mlflow.client() as client:
        assert "rollout failed" in client.get_model_version(MODEL, new).tags[ROLLED_BACK_TAG]
    kinds = [one["kind"] for one in with_rollback.database["model_audit_log"].find().sort("_id")]
    assert sorted(kinds) == ["rolled_back", "rollout", "rollout"]


@pytest.mark.slow
def test_pods_that_do_not_start_bring_the_previous_version_back(
    with_rollback: Platform, specialists: Namespace, registry: Registry
):
    """Here the image is broken, so going back does not help, and the error says that too."""
    old = registry.promote()
    roll_out(with_rollback)
    specialists.patch(NAME, progressDeadlineSeconds=6)
    specialists.annotate_template(NAME, waiting="ImagePullBackOff")
    registry.promote()
    message = failed_step(roll_out(with_rollback))[1]
    assert f"ROLLED BACK to version {old}" in message
    assert "did NOT come back" in message
    assert message.count("ImagePullBackOff") >= 2
    assert in_production(with_rollback) == old


def test_without_a_previous_version_the_error_says_that_there_is_none(
    with_rollback: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    only = registry.promote()
    answers.otherwise = status(model_loaded="False")
    message = failed_step(roll_out(with_rollback))[1]
    assert "NOT ROLLED BACK" in message
    assert "no previous version" in message
    assert in_production(with_rollback) == only


def behind_a_proxy_without_the_pod(handler: Any) -> None:
    """What the API server's proxy answers for a pod that it cannot reach."""
    reply(handler, {"kind": "Status", "code": 503, "message": "error trying to reach service"}, code=503)


@pytest.mark.parametrize("answer", [unavailable, behind_a_proxy_without_the_pod, silent], ids=lambda one: one.__name__)
def test_pods_that_cannot_be_asked_are_no_reason_to_go_back(
    with_rollback: Platform, registry: Registry, answers: Answers, answer: Any
):
    """The healthy version that they serve would be replaced, and the one before could not be asked either."""
    registry.promote()
    roll_out(with_rollback)
    new = registry.promote()
    answers.otherwise = answer
    result = roll_out(with_rollback)
    assert result.success
    assert verdicts(result) == {"models_loaded": False}
    (found,) = result.get_asset_check_evaluations()
    assert f"2 of 2 pods cannot be asked whether they serve version {new}" in found.description
    assert in_production(with_rollback) == new


@pytest.mark.parametrize(
    "change",
    [
        {"mlflow_connected": "False", "model_loaded": "False"},
        {"ledger_connected": "False", "status": "NOT_SERVING"},
        {"model_loaded": "False", "status": "STARTING"},
    ],
    ids=["MLflow away", "ledger away", "still starting"],
)
def test_pods_that_could_load_no_version_are_no_reason_to_go_back(
    with_rollback: Platform, specialists: Namespace, registry: Registry, answers: Answers, change: dict[str, str]
):
    registry.promote()
    roll_out(with_rollback)
    new = registry.promote()
    answers.otherwise = status(**change)
    result = roll_out(with_rollback)
    assert result.success
    (found,) = result.get_asset_check_evaluations()
    assert f"2 of 2 pods do not make clear whether they serve version {new}" in found.description
    assert in_production(with_rollback) == new


def test_an_evicted_pod_that_is_still_listed_is_no_reason_to_go_back(
    with_rollback: Platform, specialists: Namespace, registry: Registry
):
    registry.promote()
    roll_out(with_rollback)
    new = registry.promote()
    roll_out(with_rollback)
    evicted = specialists.pods(NAME)[0].metadata.name
    ready = {"type": "Ready", "status": "False"}
    state = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory", "conditions": [ready]}
    specialists.core.patch_namespaced_pod_status(evicted, specialists.name, {"status": state})
    assert eventually(lambda: len(specialists.pods(NAME)) == 3)
    specialists.ready(NAME, 2)
    result = roll_out(with_rollback)
    assert verdicts(result) == {"models_loaded": True}
    assert in_production(with_rollback) == new
    assert evicted in [pod.metadata.name for pod in specialists.pods(NAME)]


def test_without_the_setting_the_new_version_stays(
    hive: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    registry.promote()
    roll_out(hive)
    new = registry.promote()
    answers.otherwise = denying(specialists, new)
    assert roll_out(hive).success
    assert in_production(hive) == new


def test_a_refused_rollout_is_no_reason_to_go_back(with_rollback: Platform, specialists: Namespace, registry: Registry):
    registry.promote()
    new = registry.promote()
    specialists.patch(NAME, paused=True)
    assert "is paused" in failed_step(roll_out(with_rollback))[1]
    assert in_production(with_rollback) == new


def test_a_retry_finishes_a_rollback_that_was_interrupted(
    with_rollback: Platform, specialists: Namespace, registry: Registry
):
    """The run died between the registry's rollback and the restart, so the pods still have the version that failed."""
    old, new = registry.promote(), registry.promote()
    specialists.patch(NAME, template={"metadata": {"annotations": {"nhm/model-version": new}}})
    registry.bring_back(old, from_version=new)
    message = failed_step(roll_out(with_rollback))[1]
    assert f"version {new} was rolled back. The specialist was restarted" in message
    assert specialists.annotations(NAME)["nhm/model-version"] == old
