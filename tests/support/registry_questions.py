"""Questions to a registry that has everything, and the answers of MLflow's client and of a reader as plain values."""

from collections.abc import Callable
from math import nan
from time import sleep
from typing import Any

from mlflow import MlflowClient

from resources.mlflow_errors import if_there
from resources.mlflow_reader import ALL, MlflowReader

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
    # MLflow 3 keeps prompts among the models.
    client.create_registered_model("prompt-evaluator")
    client.set_registered_model_tag("prompt-evaluator", "mlflow.prompt.is_prompt", "true")
    return runs


def moves(client: MlflowClient) -> list[str]:
    """Every way to change what is in a stage that does not set the time by which this is noticed."""
    unnoticed, name = [], "moved-evaluator"
    client.create_registered_model(name)
    ways: dict[str, Callable[[], Any]] = {
        "created": lambda: client.create_model_version(name, "s3://nowhere/model"),
        "another": lambda: client.create_model_version(name, "s3://nowhere/model"),
        "moved": lambda: client.transition_model_version_stage(name, "2", "Production"),
        "second": lambda: client.transition_model_version_stage(name, "1", "Production"),
        "archived": lambda: client.transition_model_version_stage(name, "2", "Archived"),
        "deleted": lambda: client.delete_model_version(name, "1"),
    }
    for way, change in ways.items():
        before = client.get_registered_model(name).last_updated_timestamp
        # Its unit is a millisecond.
        sleep(0.01)
        change()
        if client.get_registered_model(name).last_updated_timestamp == before:
            unnoticed.append(way)
    return unnoticed


def questions(runs: list[str]) -> dict[str, Callable[[Any], Any]]:
    tagged = f"name='{MODEL}' and tags.`data` = 'd0'"
    pages = {"max_results": 2, "order_by": BY_NUMBER}
    named = f"attributes.run_id IN ('{runs[1]}', '{'0' * 32}', '{runs[0]}')"
    return {
        **{f"model {name}": lambda it, name=name: it.get_registered_model(name) for name in (MODEL, OTHER, "no model")},
        "models": lambda it: it.search_registered_models("name LIKE '%-evaluator'", 1000),
        "models like none": lambda it: it.search_registered_models("name LIKE '%-EVALUATOR'"),
        "all models": lambda it: it.search_registered_models("name LIKE '%'", 1000),
        "first models": lambda it: it.search_registered_models("name LIKE '%e%'", 2),
        "last models": lambda it: it.search_registered_models(
            "name LIKE '%e%'", page_token=it.search_registered_models("name LIKE '%e%'", 2).token
        ),
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
        "experiments": lambda it: it.search_experiments(ALL),
        "first experiment": lambda it: it.search_experiments(ALL, 1),
        "last experiment": lambda it: it.search_experiments(ALL, page_token=it.search_experiments(ALL, 1).token),
        "runs": lambda it: it.search_runs(["0", "1"], named, ALL, 3),
        "newest run": lambda it: it.search_runs(["0", "1"], named, ALL, 1),
        "runs of another experiment": lambda it: it.search_runs(["0"], named, ALL),
    }


def plain(answer: Any) -> Any:
    """What the platform reads of an answer."""
    if answer is None:
        return None
    if isinstance(answer, list):
        return [plain(one) for one in answer], bool(answer.token)
    if hasattr(answer, "latest_versions"):
        newest = sorted((plain(one) for one in answer.latest_versions), key=lambda one: one["version"])
        aliases = {alias: str(number) for alias, number in answer.aliases.items()}
        return answer.name, answer.last_updated_timestamp, newest, aliases
    if hasattr(answer, "data"):
        # Without the equality of NaN, which does not equal itself.
        return answer.info.run_id, {name: repr(value) for name, value in answer.data.metrics.items()}
    if hasattr(answer, "experiment_id"):
        return answer.experiment_id
    names = ("name", "version", "current_stage", "run_id", "last_updated_timestamp", "tags")
    said = {name: getattr(answer, name) for name in names}
    return said | {"version": str(said["version"]), "run_id": said["run_id"] or None}


def answers(reader: MlflowReader, asked: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {text: plain(if_there(lambda ask=ask: ask(reader), *MISSING)) for text, ask in asked.items()}
