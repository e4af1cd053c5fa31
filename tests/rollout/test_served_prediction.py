"""A promotion followed to a served prediction: real specialists in real pods, which load from the real registry."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.records import Rollout
from nhm_assets.domain.specialists import FIVE
from tests.support.documents import WEEK, put, reviewed_opinions
from tests.support.kube import Namespace, deployment
from tests.support.nhm import nhm
from tests.support.platform import Platform, verdicts
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.rollouts import Registry, cluster_settings, roll_out
from tests.support.versions import SAVED, feature_signature, small_forest

pytestmark = [pytest.mark.kubernetes, pytest.mark.servers]

OLD_WEEK = "2026-02-22"


def specialist(name: str, platform: Platform, *, tells_version: bool) -> dict[str, Any]:
    """A Deployment whose pod is a real specialist, on a port of its own: pods that run share this machine's address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.specialists", name, str(port)]
    home = platform.settings.nhm_home / "mlflow"
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}", "PYTHONPATH": str(ROOT)} | {
        "MLFLOW_DISABLE_TELEMETRY": "true"
    }
    container = {
        "command": [*command, "--tells-version"] if tells_version else command,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"name": "http", "containerPort": port}],
    }
    return deployment(f"specialist-{name}", template={"nhm.test/run": "true"}, container=container)


def ask(specialists: Namespace, name: str, method: str, path: str, body: Any = None) -> Any:
    """What the pod of a specialist answers, through the API server's proxy."""
    (pod,) = specialists.pods(f"specialist-{name}")
    port = pod.spec.containers[0].ports[0].container_port
    url = f"/api/v1/namespaces/{specialists.name}/pods/{pod.metadata.name}:{port}/proxy/{path}"
    response = specialists.api.call_api(
        url,
        method,
        body=body,
        header_params={"Content-Type": "application/json"},
        auth_settings=["BearerToken"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    return json.loads(response.data)


def rows(count: int) -> list[Mapping[str, float]]:
    return [dict.fromkeys(FEATURE_NAMES, number / count) for number in range(count)]


def with_cluster(platform: Platform, specialists: Namespace) -> Platform:
    """Pods are asked through the API server, with patience: real specialists need seconds to load."""
    patient = {"rollout_timeout_s": 60.0, "model_load_timeout_s": 60.0}
    return platform.with_settings(**cluster_settings(specialists, **patient))


@pytest.mark.slow
def test_each_promotion_of_the_job_is_followed_to_the_predictions_of_its_version(
    platform: Platform, specialists: Namespace
):
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    specialists.add(specialist("technical", platform, tells_version=True))
    hive = with_cluster(platform, specialists)
    for version, week in (("1", OLD_WEEK), ("2", WEEK)):
        result = hive.retrain(week=week)
        assert result.success
        assert hive.tags(result)["nhm/outcome"] == "promoted"
        rollout: Rollout = result.asset_value("specialist_rollout")
        assert (rollout.status, rollout.version, rollout.proven) == ("rolled out", version, True)
        assert verdicts(result)["models_loaded"]
        with platform.mlflow.client() as client:
            run_id = client.get_model_version("technical-evaluator", version).run_id
            model = mlflow.pyfunc.load_model(f"models:/technical-evaluator/{version}")
        assert ask(specialists, "technical", "GET", "status")["details"]["model_run_id"] == run_id
        served = ask(specialists, "technical", "POST", "predict", rows(5))
        assert served == model.predict(pd.DataFrame(rows(5), dtype="float64")).tolist()
        assert np.shape(served) == (5, 3)


@pytest.mark.exhaustive
def test_five_specialists_are_rolled_out_and_validated(platform: Platform, specialists: Namespace, tmp_path: Path):
    registry, forest = Registry(platform), small_forest()
    mlflow.sklearn.save_model(forest, str(tmp_path / "model"), signature=feature_signature(), **SAVED)
    hive = with_cluster(platform, specialists)
    for name in FIVE:
        specialists.add(specialist(name, platform, tells_version=False), wait=False)
    for name in FIVE:
        registry.promote(name, files=str(tmp_path / "model"))
        rollout: Rollout = roll_out(hive, name).asset_value("specialist_rollout")
        assert (rollout.status, rollout.loaded, rollout.proven) == ("rolled out", True, False)
    changed = ("nhm_home", "kubeconfig", "specialist_namespace")
    done = nhm("validate", **{name: getattr(hive.settings, name) for name in changed})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("5/5 specialists loaded their models\n")
    expected = forest.predict_proba(pd.DataFrame(rows(4), dtype="float64")).tolist()
    assert [ask(specialists, name, "POST", "predict", rows(4)) for name in FIVE] == [expected] * len(FIVE)
