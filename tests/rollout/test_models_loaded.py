"""How `models_loaded` judges the answers of real pods: slow, malformed, contradictory, or from one pod of three."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.records import Rollout
from nhm_assets.resource_factories import kubernetes_of
from nhm_assets.rollout.serving import Expected
from nhm_assets.rollout.status_probe import ask_pods
from nhm_assets.rollout.target import Target
from nhm_assets.settings import Settings
from tests.support.kube import ENOUGH, Namespace, deployment, namespace
from tests.support.platform import Platform, failed_step, verdicts
from tests.support.rollouts import Registry, check_alone, cluster_settings, roll_out
from tests.support.specialists import Answer, Answers, cutting_off, dripping, reply, silent, status, unavailable

pytestmark = pytest.mark.kubernetes

NAME = "specialist-technical"
DENIES, UNCLEAR, CANNOT_BE_ASKED = (
    "do not serve",
    "do not make clear whether they serve",
    "cannot be asked whether they serve",
)


@pytest.fixture(scope="module")
def three(kubeconfig: Path) -> Iterator[Namespace]:
    """Three pods, which the tests of this module only ask."""
    with namespace(kubeconfig) as found:
        found.add(deployment(NAME, replicas=3))
        yield found


def evaluation(result: Any) -> Any:
    (found,) = result.get_asset_check_evaluations()
    return found


def table(result: Any) -> list[str]:
    return evaluation(result).metadata["pods"].value.splitlines()[2:]


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        (silent, CANNOT_BE_ASKED, "did not answer within 3 s"),
        (dripping, CANNOT_BE_ASKED, "did not answer within 3 s"),
        (unavailable, CANNOT_BE_ASKED, "HTTP 503: starting"),
        (b"<html>no</html>", CANNOT_BE_ASKED, "not JSON: <html>no</html>"),
        (b'{"status": "SERVING"}', CANNOT_BE_ASKED, "no `details`"),
        (status(model_loaded="False"), DENIES, "model_loaded is False"),
        (status(mlflow_connected=False), UNCLEAR, "mlflow_connected is False"),
        (status(model_loaded=None), UNCLEAR, "model_loaded is missing"),
        (status(status="NOT_SERVING"), UNCLEAR, "status is NOT_SERVING"),
        (status(model_version="0"), DENIES, "version 0 loaded, not 1"),
    ],
)
def test_the_one_pod_of_three_that_does_not_serve_is_named_with_its_fault(
    three: Namespace, answers: Answers, answer: Answer, verdict: str, reason: str
):
    bad = three.pods(NAME)[1]
    answers.by_pod[bad.status.pod_ip] = answer
    how = {"kubernetes_timeout_s": 3} if answer in (silent, dripping) else {}
    settings = Settings(**cluster_settings(three, specialist_status_url=answers.status_url, **how))
    with kubernetes_of(settings).cluster() as cluster:
        target = Target.of(settings, "technical", cluster)
        serving = ask_pods(target, Expected("technical", "1", None), wait=False)
    assert not serving.loaded
    assert serving.reason.startswith(f"1 of 3 pods {verdict} version 1: {bad.metadata.name}: ")
    assert serving.denied is (verdict == DENIES)
    assert reason in serving.reason
    assert [one.loaded for one in serving.pods] == [True, False, True]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (silent, "did not answer"),
        (dripping, "did not answer"),
        (cutting_off, "its answer was cut off"),
        (unavailable, "HTTP 503: starting"),
        (b"<html>no</html>", "not JSON"),
        (status(model_loaded="False"), "model_loaded is False"),
    ],
)
def test_the_proxy_of_the_api_server_shows_the_same_faults(
    specialists: Namespace, answers: Answers, answer: Answer, reason: str
):
    """The pod has this machine's address, so the test's server answers for it."""
    port = int(answers.address.rpartition(":")[2])
    container = {"command": ["sleep", "600"], "ports": [{"name": "http", "containerPort": port}]}
    specialists.add(deployment(NAME, template={"nhm.test/run": "true"}, container=container))
    answers.otherwise = answer
    how = {"kubernetes_timeout_s": 3} if answer in (silent, dripping) else {}
    settings = Settings(**cluster_settings(specialists, specialist_status_url=None, **how))
    with kubernetes_of(settings).cluster() as cluster:
        target = Target.of(settings, "technical", cluster)
        serving = ask_pods(target, Expected("technical", "1", None), wait=False)
    assert reason in serving.reason, serving.reason
    assert serving.denied is (isinstance(answer, dict))
    verdict = DENIES if serving.denied else CANNOT_BE_ASKED
    assert serving.reason.startswith(f"1 of 1 pods {verdict} version 1: specialist-technical-")


def test_pods_that_name_the_version_prove_the_rollout(hive: Platform, registry: Registry, answers: Answers):
    version = registry.promote()
    answers.otherwise = status(model_version=version)
    result = roll_out(hive)
    rollout: Rollout = result.asset_value("specialist_rollout")
    assert (rollout.loaded, rollout.proven) == (True, True)
    assert reason_in(evaluation(result).description) == f"2 of 2 pods serve version {version}"


def test_pods_that_do_not_name_the_version_leave_the_rollout_unproven(hive: Platform, registry: Registry):
    registry.promote()
    result = roll_out(hive)
    assert evaluation(result).passed
    assert "unproven" in evaluation(result).description
    assert all("loaded, unproven" in line for line in table(result))


def test_a_model_that_does_not_load_fails_only_the_check(hive: Platform, registry: Registry, answers: Answers):
    registry.promote()
    answers.otherwise = status(model_loaded="False", degraded_reasons=["no such artifact"])
    result = roll_out(hive)
    assert result.success
    assert verdicts(result) == {"models_loaded": False}
    assert "no such artifact" in evaluation(result).description
    rollout: Rollout = result.asset_value("specialist_rollout")
    assert (rollout.status, rollout.loaded, rollout.proven) == ("rolled out", False, False)


def test_a_pod_that_is_ready_before_its_model_is_loaded_is_asked_again(
    hive: Platform, registry: Registry, answers: Answers
):
    registry.promote()
    pods, asked = 2, itertools.count(1)

    def later(handler: Any) -> None:
        reply(handler, status(model_loaded=str(next(asked) > pods)))

    answers.otherwise = later
    assert evaluation(roll_out(hive.with_settings(model_load_timeout_s=60))).passed
    assert next(asked) > pods + 1


def test_a_retry_restarts_again_if_the_pods_deny_the_version(
    hive: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    registry.promote()
    answers.otherwise = status(model_loaded="False")
    roll_out(hive)
    before = {one.metadata.name for one in specialists.pods(NAME)}

    def once_restarted(handler: Any) -> None:
        reply(handler, status(model_loaded=str(not before & {one.metadata.name for one in specialists.pods(NAME)})))

    answers.otherwise = once_restarted
    rollout: Rollout = roll_out(hive).asset_value("specialist_rollout")
    assert (rollout.status, rollout.loaded) == ("rolled out", True)


def test_a_pod_that_is_not_ready_is_not_asked_and_does_not_serve(
    hive: Platform, specialists: Namespace, registry: Registry, answers: Answers
):
    registry.promote()
    stuck, ready = specialists.pods(NAME)
    annotation = {"metadata": {"annotations": {"nhm.test/ready-after": "never"}}}
    specialists.core.patch_namespaced_pod(stuck.metadata.name, specialists.name, annotation)
    specialists.ready(NAME, 1)
    result = check_alone(hive)
    assert (
        f"1 of 2 pods cannot be asked whether they serve version 1: {stuck.metadata.name}: it is not ready"
        in evaluation(result).description
    )
    assert set(answers.asked) == {ready.status.pod_ip}


def test_one_address_for_all_pods_proves_nothing(hive: Platform, registry: Registry, answers: Answers):
    version = registry.promote()
    answers.otherwise = status(model_version=version)
    one_for_all = f"{answers.address}/{{specialist}}/service/status"
    result = check_alone(hive.with_settings(specialist_status_url=one_for_all))
    assert (evaluation(result).passed, evaluation(result).metadata["proven"].value) == (True, False)


def test_the_check_alone_restarts_nothing(hive: Platform, specialists: Namespace, registry: Registry):
    registry.promote()
    before = specialists.get(NAME)["metadata"]["generation"]
    result = check_alone(hive)
    assert evaluation(result).passed
    assert result.get_asset_materialization_events() == []
    assert specialists.get(NAME)["metadata"]["generation"] == before


def test_the_check_alone_has_no_result_without_a_cluster(platform: Platform, registry: Registry):
    registry.promote()
    result = check_alone(platform)
    assert result.success
    assert verdicts(result) == {}


def test_without_the_right_to_ask_pods_the_run_breaks_and_names_that_right(
    hive: Platform, specialists: Namespace, registry: Registry, tmp_path: Path
):
    registry.promote()
    rules = [one for one in ENOUGH if one["resources"] != ["pods/proxy"]]
    access = specialists.user(tmp_path, *rules)
    message = failed_step(roll_out(hive.with_settings(kubeconfig=access, specialist_status_url=None)))[1]
    assert f"does not allow system:serviceaccount:{specialists.name}:{access.stem} to get pods/proxy" in message
