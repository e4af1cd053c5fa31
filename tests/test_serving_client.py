"""A specialist's client loads the promoted version through a real MLflow server, and reads it by the specialists' rule.

The client runs in an environment of its own (tests/environments/serving.txt); `make test` creates it.
"""

import json
import math
import os
import socket
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, ExecuteInProcessResult
from mlflow import MlflowClient, pyfunc
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion

from nhm_assets.domain.dagster_names import INCREMENT_CONFIG
from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, FEATURE_NAMES, REJECT, TEST
from nhm_assets.estimators.families import AUTO, FAMILIES, family_of
from nhm_assets.registry.vocabulary import PARAMETERS_TAG
from tests.support import nginx, reading_client, writing_client
from tests.support.documents import NOW, put, reviewed_opinions
from tests.support.platform import Platform, verdicts
from tests.support.pythons import serving_numpy, serving_pythons
from tests.support.servers import mlflow_server

pytestmark = [pytest.mark.servers]

ORDERS = {"names": ["approve", "reject", "review_required"], "codes": ["reject", "approve", "review_required"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def door(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which specialists read: nginx before the server, where this machine has nginx."""
    if not nginx.is_installed():
        yield server
        return
    with nginx.read_only(server, tmp_path_factory.mktemp("door")) as address:
        yield address


@pytest.fixture(scope="module")
def serving_python() -> Path:
    """The Python of a specialist's environment."""
    python = serving_pythons()[0]
    if not python.exists():
        pytest.skip(
            "the serving environment is missing: `make test` creates it, NHM_TEST_SERVING_PYTHON names its Python"
        )
    return python


@pytest.mark.slow
@pytest.mark.parametrize(
    ("specialist", "absent", "served"),
    [
        ("technical", None, "names"),
        pytest.param("business", "reject", "names", marks=pytest.mark.exhaustive),
        pytest.param("evolution", "review_required", "names", marks=pytest.mark.exhaustive),
        pytest.param("behavior", None, "codes", marks=pytest.mark.exhaustive),
    ],
)
def test_plans_that_people_approved_get_more_confidence_and_less_risk(
    platform: Platform, server: str, door: str, serving_python: Path, specialist: str, absent: str | None, served: str
):
    """In the order of the numbers, the same rule gave a good plan the confidence .01 and the risk .92."""
    kept = [label for label in CLASS_NAMES if label != absent]
    opinions, reviews = reviewed_opinions(500, specialist=specialist, recommendations=kept)
    put(platform.database, opinions=opinions, feedback=reviews)
    hive = platform.with_settings(mlflow_tracking_uri=server, served_classes=served)
    result = hive.retrain(specialist)
    assert hive.tags(result)["nhm/outcome"] == "promoted", verdicts(result)

    frame = result.asset_value(AssetKey("feedback_dataset"))
    rows = frame[frame["split"] == TEST]
    response = opinions_of(serving_python, door, f"{specialist}-evaluator", rows)
    assert (response["mlflow"], response["sklearn"]) == ("2.19.0", "1.5.2")
    assert {tuple(opinion["shape"]) for opinion in response["opinions"]} == {(1, 3)}
    values = pd.DataFrame([opinion["values"] for opinion in response["opinions"]], columns=ORDERS[served])
    assert values.sum(axis=1).to_numpy() == pytest.approx(1)
    if absent:
        assert set(values[absent]) == {0.0}

    read = pd.DataFrame(response["opinions"], index=rows.index)
    if served == "codes":
        # The rule of readers that take index 1 for approve.
        read = read.rename(columns={"confidence": "risk", "risk": "confidence"})
    approved = rows["label"] == APPROVE
    others = rows["label"] == REJECT if absent != "reject" else ~approved
    assert read["confidence"][approved].mean() > read["confidence"][others].mean() + 0.3
    if absent != "reject":
        assert read["risk"][approved].mean() < read["risk"][others].mean() - 0.3


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", [*FAMILIES, AUTO])
@pytest.mark.usefixtures("serving_python")
def test_a_version_that_the_gate_promoted_answers_there_as_here(platform: Platform, tmp_path: Path, family: str):
    """All families, and what a search over them chooses, by the gate's own settings and on a server of their own."""
    opinions, reviews = reviewed_opinions(500)
    put(platform.database, opinions=opinions, feedback=reviews)
    with mlflow_server(tmp_path / "server") as address:
        hive = platform.with_settings(mlflow_tracking_uri=address, model_family=family, tuning_trials=len(FAMILIES) + 1)
        result = hive.retrain()
        assert hive.tags(result)["nhm/outcome"] == "promoted", verdicts(result)
        assert verdicts(result)["fits_into_pods"]
        with hive.mlflow.client() as client:
            parameters = json.loads(production(client).tags[PARAMETERS_TAG])
        assert family in (AUTO, family_of(parameters).name)
        assert_answers_there_as_here(hive, address, result)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("serving_python")
def test_a_promoted_increment_answers_there_as_here(platform: Platform, server: str):
    opinions, reviews = reviewed_opinions(500, specialist="technical")
    put(platform.database, opinions=opinions, feedback=reviews)
    hive = platform.with_settings(mlflow_tracking_uri=server)
    assert hive.tags(hive.retrain())["nhm/outcome"] in ("promoted", "held"), "another test may have promoted one"
    opinions, reviews = reviewed_opinions(250, seed=2, end=NOW, days=12)
    for review in reviews:
        strict = {"reject": "review_required", "review_required": "reject"}
        review["human_recommendation"] = strict.get(review["human_recommendation"], "approve")
    put(platform.database, opinions=opinions, feedback=reviews)
    result = hive.retrain(week="2026-03-15", config=INCREMENT_CONFIG)
    assert hive.tags(result)["nhm/outcome"] == "promoted", verdicts(result)
    assert result.asset_value(AssetKey("trained_model")).increment
    assert_answers_there_as_here(hive, server, result)


def production(client: MlflowClient) -> ModelVersion:
    return client.get_latest_versions("technical-evaluator", ["Production"])[0]


def assert_answers_there_as_here(hive: Platform, address: str, result: ExecuteInProcessResult) -> None:
    """Each specialist's Python, about one test row at a time and about all at once, of the version in Production."""
    frame = result.asset_value(AssetKey("feedback_dataset"))
    rows = frame[frame["split"] == TEST].head(30)
    asked = rows[list(FEATURE_NAMES)]
    with hive.mlflow.client() as client:
        model = pyfunc.load_model(f"models:/technical-evaluator/{production(client).version}")
    here = [model.predict(asked), np.vstack([model.predict(asked.iloc[[row]]) for row in range(len(asked))])]
    assert here[0].shape == (len(rows), len(CLASS_NAMES))
    for python in serving_pythons():
        response = opinions_of(python, address, "technical-evaluator", rows)
        assert (response["mlflow"], response["sklearn"]) == ("2.19.0", "1.5.2")
        assert response["numpy"] == serving_numpy(response["python"])
        alone = [opinion["values"] for opinion in response["opinions"]]
        for mine, there in product(here, (response["many"], alone)):
            assert np.abs(mine - there).max() < 1e-12, python


def opinions_of(python: Path, address: str, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    """What a specialist with this Python makes of these plans, one at a time."""
    plans = [
        {name: None if math.isnan(value) else value for name, value in plan.items()}
        for plan in rows[list(FEATURE_NAMES)].to_dict("records")
    ]
    return as_specialist(python, reading_client, address, model, send=json.dumps(plans))


def as_specialist(python: Path, program: ModuleType, *arguments: str, send: str = "") -> dict[str, Any]:
    """The answer of a program that runs with a specialist's Python."""
    command = [str(python), "-P", "-W", "ignore", str(program.__file__), *arguments]
    # MLflow leaves the addresses of this process's client in the environment.
    own = {
        name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    }
    # As docs/models.md recommends where others use the processors too.
    own["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(command, input=send, capture_output=True, text=True, timeout=300, check=False, env=own)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_specialist_cannot_change_anything_through_its_address_of_mlflow(
    server: str, door: str, serving_python: Path
):
    """Whoever can write there decides what every specialist loads."""
    if door == server:
        pytest.skip("nginx is not installed: apt-get install nginx")
    client = MlflowClient(server, registry_uri=server)
    run = client.create_run("0")
    client.create_registered_model("guarded-evaluator")
    client.create_model_version("guarded-evaluator", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias("guarded-evaluator", "production", "1")
    before = everything(client)

    tried = as_specialist(serving_python, writing_client, door, "guarded-evaluator", run.info.run_id)
    assert len(tried) == 14
    assert {what: said for what, said in tried.items() if "403" not in said and "only reads" not in said} == {}
    assert everything(client) == before
    # Each of them works without nginx, so it is nginx that refuses.
    direct = as_specialist(serving_python, writing_client, server, "guarded-evaluator", run.info.run_id)
    assert {what: said for what, said in direct.items() if said != "done"} == {}


def everything(client: MlflowClient) -> list[Any]:
    """Models, versions with tags, aliases and stages, experiments, and runs with their metrics and files."""
    models = client.search_registered_models()
    runs = client.search_runs(["0"], run_view_type=ViewType.ALL)
    return [
        [dict(model) | {"latest_versions": None} for model in models],
        [str(version) for version in client.search_model_versions()],
        [experiment.name for experiment in client.search_experiments()],
        [(run.info.run_id, run.info.lifecycle_stage, run.data.metrics) for run in runs],
        [[file.path for file in client.list_artifacts(run.info.run_id)] for run in runs],
    ]


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /api/2.0/mlflow/registered-models/create",
        "POST /api/2.0/mlflow/runs/search/../../registered-models/create",
        "POST /api/2.0/mlflow/registered-models/create/../../runs/search",
        "POST /api/2.0/mlflow/registered-models/create%3F/../runs/search",
        "POST /api/2.0/mlflow/runs%2Fsearch",
        "POST //api/2.0/mlflow/runs/search",
        "post /api/2.0/mlflow/runs/create",
        "PUT /api/2.0/mlflow-artifacts/artifacts/1/evil.pkl",
        "DELETE /api/2.0/mlflow/registered-models/delete",
        "PATCH /api/2.0/mlflow/registered-models/update",
        "OPTIONS /",
        "POST /graphql",
        "POST http://mlflow/api/2.0/mlflow/runs/create",
    ],
)
def test_no_spelling_of_a_request_gets_past_the_reading_address(server: str, door: str, request_line: str):
    if door == server:
        pytest.skip("nginx is not installed: apt-get install nginx")
    host, port = door.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            f"{request_line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        answer = connection.makefile("rb").readline().decode()
    assert answer.split()[1] in {"400", "403", "405"}, answer


def test_a_search_passes_although_it_is_a_post(server: str, door: str):
    runs = MlflowClient(door).search_runs(["0"])
    assert [run.info.run_id for run in runs] == [run.info.run_id for run in MlflowClient(server).search_runs(["0"])]


def test_mlflow_changes_nothing_on_get():
    """The reading address relies on it."""
    from mlflow.server.handlers import get_endpoints

    read_names = ("get", "_get", "_list", "_search", "_batch_get", "_download", "_deprecated_get", "_deprecated_search")
    reads = {name for name, methods in handlers(get_endpoints()) if "GET" in methods}
    assert len(reads) > 30
    assert {name for name in reads if not name.startswith(read_names)} == {"_not_implemented", "_graphql"}


def handlers(endpoints: list[tuple[str, Any, list[str]]]) -> list[tuple[str, list[str]]]:
    return [(handler.__name__, methods) for _, handler, methods in endpoints]
