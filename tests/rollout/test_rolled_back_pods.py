"""`nhm rollback` and the pods that it restarts: exit code 0 only if they say that they serve the version."""

import pytest

from tests.support.kube import Namespace
from tests.support.nhm import nhm
from tests.support.platform import Platform
from tests.support.rollouts import Registry, cluster_settings, roll_out
from tests.support.specialists import Answer, Answers, silent, status

pytestmark = [pytest.mark.kubernetes, pytest.mark.servers]

NAME = "specialist-technical"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(model_loaded="False"), "2 of 2 pods do not serve version"),
        pytest.param(
            status(mlflow_connected="False"),
            "2 of 2 pods do not make clear whether they serve version",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(silent, "2 of 2 pods cannot be asked whether they serve version", marks=pytest.mark.exhaustive),
    ],
    ids=["not loaded", "not clear", "silent"],
)
@pytest.mark.slow
def test_a_rollback_whose_pods_do_not_serve_ends_with_3_and_the_same_command_only_restarts(
    hive: Platform, specialists: Namespace, registry: Registry, answers: Answers, answer: Answer, reason: str
):
    old = registry.promote()
    registry.promote()
    roll_out(hive)
    settings = {
        "nhm_home": hive.settings.nhm_home,
        "mongodb_uri": hive.settings.mongodb_uri.get_secret_value(),
        "mongodb_database": hive.settings.mongodb_database,
        **cluster_settings(specialists, specialist_status_url=answers.status_url),
        "kubernetes_timeout_s": 5.0,
        "model_load_timeout_s": 0.5,
    }
    command = ("rollback", "technical", "--to", old, "--reason", "it approves everything")
    answers.otherwise = answer
    done = nhm(*command, **settings)
    assert done.returncode == 3, done.stderr
    assert f"version {old} of technical-evaluator is back in Production, but technical may not answer" in done.stderr
    assert reason in done.stderr
    assert "Run the same command again: it only restarts" in done.stderr
    assert specialists.annotations(NAME)["nhm/model-version"] == old

    answers.otherwise = status()
    again = nhm(*command, **settings)
    assert (again.returncode, again.stderr) == (0, "")
    assert "2 of 2 pods have a model loaded" in again.stdout
    assert hive.database["model_audit_log"].count_documents({"kind": "rolled_back"}) == 1
