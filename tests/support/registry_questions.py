"""Questions to a registry that has everything, and the answers of MLflow's client and of a reader as plain values."""

from collections.abc import Callable
from math import nan
from typing import Any

from mlflow import MlflowClient

from resources.mlflow_errors import if_there
from resources.mlflow_reader import MlflowReader

MODEL, OTHER = "asked-evaluator", "other-evaluator"
BY_NUMBER, BY_CHANGE = ["version_number DESC"], ["last_updated_timestamp DESC"]
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def fill(client: MlflowClient) -> list[str]:
    """Models with versions in every stage, one of them deleted, and the ids of runs, one of them deleted."""
    experiment = client.create_experiment("asked")
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    for name, value in {"test_f1": 0.5, "test_recall": nan, "huge": 1e300, "none": 0.0}.items():
        client.log_metric(runs[0], name, 1.0)
        client.log_metric(runs[0], name, value, step=1)
    client.delete_run(runs[1])
    client.create_registered_model("without versions")
    for name in (MODEL, OTHER):
        client.create_registered_model(name)
    for number in range(1, 7):
        client.create_model_version(
            MODEL, "s3://nowhere/model", runs[0], tags={"data": f"d{number % 2}", "said": "it's ü"}
        )
    client.create_model_version(OTHER, "s3://nowhere/model")
    for number, stage in enumerate(("Archived", "Production", "Production", "Staging"), start=1):
        client.transition_model_version_stage(MODEL, str(number), stage)
    client.delete_model_version(MODEL, "5")
    client.set_registered_model_alias(MODEL, "production", "3")
    return runs


def questions(runs: list[str]) -> dict[str, Callable[[Any], Any]]:
    tagged = f"name='{MODEL}' and tags.`data` = 'd0'"
    pages = {"max_results": 2, "order_by": BY_NUMBER}
    return {
        **{f"model {name}": lambda it, name=name: it.get_registered_model(name) for name in (MODEL, OTHER, "no model")},
        "model without versions": lambda it: it.get_registered_model("without versions"),
        **{f"version {one}": lambda it, one=one: it.get_model_version(MODEL, one) for one in ("3", "5", "7", "latest")},
        "no model's version": lambda it: it.get_model_version("no model", "1"),
        "alias": lambda it: it.get_model_version_by_alias(MODEL, "production"),
        "no alias": lambda it: it.get_model_version_by_alias(MODEL, "candidate"),
        "no model's alias": lambda it: it.get_model_version_by_alias("no model", "production"),
        "all": lambda it: it.search_model_versions(f"name='{MODEL}'", max_results=1000, page_token=None),
        "of no model": lambda it: it.search_model_versions("name='no model'"),
        "tagged": lambda it: it.search_model_versions(tagged, max_results=1000),
        "first page": lambda it: it.search_model_versions(f"name='{MODEL}'", **pages),
        "last page": lambda it: it.search_model_versions(
            f"name='{MODEL}'", page_token=it.search_model_versions(f"name='{MODEL}'", 3, BY_NUMBER).token, max_results=3
        ),
        "changed": lambda it: it.search_model_versions(order_by=BY_CHANGE, max_results=50),
        **{f"run {run}": lambda it, run=run: it.get_run(run) for run in (*runs, "0" * 32)},
    }


def plain(answer: Any) -> Any:
    """What the platform reads of an answer."""
    if answer is None:
        return None
    if isinstance(answer, list):
        return [plain(one) for one in answer], bool(answer.token)
    if hasattr(answer, "latest_versions"):
        newest = sorted((plain(one) for one in answer.latest_versions), key=lambda one: one["version"])
        return newest, {alias: str(number) for alias, number in answer.aliases.items()}
    if hasattr(answer, "data"):
        # Without the equality of NaN, which does not equal itself.
        return {name: repr(value) for name, value in answer.data.metrics.items()}
    names = ("name", "version", "current_stage", "run_id", "last_updated_timestamp", "tags")
    said = {name: getattr(answer, name) for name in names}
    return said | {"version": str(said["version"]), "run_id": said["run_id"] or None}


def answers(reader: MlflowReader, asked: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {text: plain(if_there(lambda ask=ask: ask(reader), *MISSING)) for text, ask in asked.items()}
