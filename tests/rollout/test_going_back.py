"""ROLLBACK_ON_FAILED_ROLLOUT: the version before is in Production and in the pods again, and everybody hears of it."""

from typing import Any

import pytest

from nhm_assets.registry.versions import version_in_production
from nhm_assets.registry.vocabulary import ROLLED_BACK_TAG
from tests.support.kube import Namespace
from tests.support.platform import Platform, failed_step, verdicts
from tests.support.rollouts import Registry, roll_out
from tests.support.specialists import Answers, reply, status

pytestmark = pytest.mark.kubernetes

NAME = "specialist-technical"
MODEL = "technical-evaluator"


@pytest.fixture
def careful(hive: Platform) -> Platform:
    return hive.with_settings(rollback_on_failed_rollout=True, kubernetes_timeout_s=1, model_load_timeout_s=1)


def in_production(platform: Platform) -> str | None:
    with platform.mlflow.client() as client:
        found = version_in_production(client, MODEL)
        return str(found.version) if found else None


def refuse(specialists: Namespace, version: str) -> Any:
    """Pods answer as those of a version that does not load; all others load."""

    def answer(handler: Any) -> None:
        running = specialists.annotations(NAME).get("nhm/model-version")
        reply(handler, status(model_loaded=str(running != version)))

    return answer


def test_a_model_that_does_not_load_brings_the_version_before_back(
    careful: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    old = registry.promote()
    roll_out(careful)
    new = registry.promote()
    answers.otherwise = refuse(specialists, new)
    result = roll_out(careful)
    message = failed_step(result)[1]
    assert f"{MODEL} version {new} does not serve: 2 of 2 pods" in message
    assert f"ROLLED BACK to version {old}. The specialist was restarted: 2 of 2 pods have a model loaded" in message
    assert in_production(careful) == old
    assert specialists.annotations(NAME)["nhm/model-version"] == old
    assert verdicts(result) == {"models_loaded": False}
    with careful.mlflow.client() as client:
        assert "rollout failed" in client.get_model_version(MODEL, new).tags[ROLLED_BACK_TAG]
    kinds = [one["kind"] for one in careful.database["model_audit_log"].find().sort("_id")]
    assert sorted(kinds) == ["rolled_back", "rollout", "rollout"]


def test_pods_that_do_not_start_bring_the_version_before_back(
    careful: Platform, specialists: Namespace, registry: Registry
):
    """The image is what is broken here, so going back does not help, and that is said, too."""
    old = registry.promote()
    roll_out(careful)
    specialists.patch(NAME, progressDeadlineSeconds=1)
    specialists.annotate_template(NAME, waiting="ImagePullBackOff")
    registry.promote()
    message = failed_step(roll_out(careful))[1]
    assert f"ROLLED BACK to version {old}" in message
    assert "did NOT come back" in message
    assert message.count("ImagePullBackOff") >= 2
    assert in_production(careful) == old


def test_without_a_version_before_it_is_said_that_there_is_none(
    careful: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    only = registry.promote()
    answers.otherwise = status(model_loaded="False")
    message = failed_step(roll_out(careful))[1]
    assert "NOT ROLLED BACK" in message
    assert "no previous version" in message
    assert in_production(careful) == only


def test_without_the_setting_nothing_is_brought_back(
    hive: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    registry.promote()
    roll_out(hive)
    new = registry.promote()
    answers.otherwise = refuse(specialists, new)
    assert roll_out(hive).success
    assert in_production(hive) == new


def test_a_refusal_of_the_cluster_is_no_reason_to_go_back(
    careful: Platform, specialists: Namespace, registry: Registry
):
    registry.promote()
    new = registry.promote()
    specialists.patch(NAME, paused=True)
    assert "is paused" in failed_step(roll_out(careful))[1]
    assert in_production(careful) == new


def test_a_return_that_was_interrupted_is_finished_by_the_rerun(
    careful: Platform, specialists: Namespace, registry: Registry
):
    """It died between the registry's rollback and the restart: the pods still have the version that failed."""
    old, new = registry.promote(), registry.promote()
    specialists.patch(NAME, template={"metadata": {"annotations": {"nhm/model-version": new}}})
    registry.bring_back(old, leaving=new)
    message = failed_step(roll_out(careful))[1]
    assert f"version {new} was rolled back. The specialist was restarted" in message
    assert specialists.annotations(NAME)["nhm/model-version"] == old
