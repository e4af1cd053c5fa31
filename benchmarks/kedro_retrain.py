"""The same retraining as `benchmarks.bare_retrain`, as a pipeline of Kedro: `python -m benchmarks.kedro_retrain WEEK`.

The nodes are the functions of the bare script. Kedro's runner calls them in order, and its catalog hands their results
on, in memory; the functions write the same files as there. Kedro is in the extra `bench`.
"""

import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, node, pipeline
from kedro.runner import SequentialRunner

from benchmarks import bare_retrain
from benchmarks.bare_retrain import ScriptRun
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.database import Database

    from resources.mlflow import Mlflow


def main(week: str) -> None:
    settings = Settings.load()
    mlflow = mlflow_of(settings)
    with mongo_of(settings).database() as database, mlflow.client() as client:
        partitions = [Partition.parse(week, specialist) for specialist in all_specialists()]
        nodes = [one for partition in partitions for one in _nodes(partition, database, client, mlflow, settings)]
        results = SequentialRunner().run(pipeline(nodes), DataCatalog({one: MemoryDataset() for one in _names(nodes)}))
    for partition in partitions:
        print(results[f"{partition.specialist}_line"].load())


def _nodes(
    partition: Partition,
    database: "Database[dict[str, Any]]",
    client: "MlflowClient",
    mlflow: "Mlflow",
    settings: Settings,
) -> list[Node]:
    """What is done for one specialist."""
    run, name = ScriptRun(f"kedro-{partition.key}"), partition.specialist

    def build() -> pd.DataFrame:
        return bare_retrain.build_dataset(database, partition, run, settings)

    def train(frame: pd.DataFrame) -> TrainedModel:
        return bare_retrain.train(client, mlflow, database, frame, partition, run, settings)

    def evaluate(frame: pd.DataFrame, trained: TrainedModel) -> tuple[EvaluationReport, list[str]]:
        return bare_retrain.evaluate(client, database, frame, trained, partition, settings)

    def decide(report: EvaluationReport, failed: list[str]) -> str:
        line = bare_retrain.decide(client, database, report, failed, run, settings)
        bare_retrain.measure_served(database, mlflow, partition, settings)
        return line

    dataset, trained, report, failed, line = (
        f"{name}_{what}" for what in ("dataset", "trained", "report", "failed", "line")
    )
    return [
        node(build, None, dataset, name=f"{name}_build"),
        node(train, dataset, trained, name=f"{name}_train"),
        node(evaluate, [dataset, trained], [report, failed], name=f"{name}_evaluate"),
        node(decide, [report, failed], line, name=f"{name}_decide"),
    ]


def _names(nodes: list[Node]) -> list[str]:
    return [name for one in nodes for name in one.outputs]


if __name__ == "__main__":
    main(sys.argv[1])
