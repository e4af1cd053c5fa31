"""What a specialist's client must not be able to do, run as a program in the specialists' own environment.

The arguments are the address of MLflow, the name of a registered model and one of its runs; it prints what became of
each attempt, as JSON: "done", or the error.
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient


def attempts(client: MlflowClient, name: str, run_id: str) -> dict:
    file = Path(tempfile.mkdtemp()) / "evil.pkl"
    file.write_bytes(b"x")
    return {
        "register a model": lambda: client.create_registered_model("evil"),
        "register a version": lambda: client.create_model_version(name, f"runs:/{run_id}/model", run_id),
        "move a stage": lambda: client.transition_model_version_stage(name, "1", "Archived"),
        "set an alias": lambda: client.set_registered_model_alias(name, "production", "1"),
        "delete an alias": lambda: client.delete_registered_model_alias(name, "production"),
        "tag a version": lambda: client.set_model_version_tag(name, "1", "a", "b"),
        "delete a version": lambda: client.delete_model_version(name, "1"),
        "delete a model": lambda: client.delete_registered_model(name),
        "rename a model": lambda: client.rename_registered_model("evil", "worse"),
        "start a run": lambda: client.create_run("0"),
        "log a metric": lambda: client.log_metric(run_id, "f1", 1.0),
        "delete a run": lambda: client.delete_run(run_id),
        "upload a file": lambda: client.log_artifact(run_id, str(file), "model"),
        "create an experiment": lambda: client.create_experiment("evil"),
    }


def main(address: str, name: str, run_id: str) -> None:
    mlflow.set_tracking_uri(address)
    found = {}
    for what, attempt in attempts(MlflowClient(address), name, run_id).items():
        try:
            attempt()
            found[what] = "done"
        except Exception as error:  # noqa: BLE001 - every error is an answer
            found[what] = " ".join(str(error).split())[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
