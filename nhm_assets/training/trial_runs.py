"""The trials of a search as MLflow runs within the run of the training. What an interrupted search has tried is reused.

A search is seeded, so the next attempt of the same training tries the same parameters in the same order. It finds the
trials that the attempt before it has finished, and makes them its own; one that was not finished is deleted.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.registry.vocabulary import PARTITION_TAG, SEARCH_TAG, TRIAL_OF_TAG
from nhm_assets.training.training_spec import TrainingSpec
from resources.mlflow_runs import run_if_any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run, RunInfo

RECORD: Final = "trial.json"
"""Artifact of a trial: what a search needs to know to go on."""
_PARENT_RUN_TAG: Final = "mlflow.parentRunId"
_FINISHED: Final = "FINISHED"
_INTERRUPTED: Final = ("FAILED", "KILLED")


class TrialRuns:
    """The trials of one training.

    Args:
        client: of MLflow.
        parent: the run of the training.
        spec: what is trained; trainings with another fingerprint have other trials.

    Attributes:
        recalled: number of trials that an interrupted attempt has made.
    """

    def __init__(self, client: "MlflowClient", parent: "RunInfo", spec: TrainingSpec) -> None:
        self._client = client
        self._parent = parent
        self._spec = spec
        self.recalled = 0

    def log(self, number: int, parameters: Mapping[str, Any], metrics: Mapping[str, float], record: Any) -> None:
        """Log a trial. Only with its last step it counts as finished.

        Args:
            number: from 0 on.
            parameters: of the model.
            metrics: what MLflow shows of it.
            record: what `recall` returns, as JSON; its `parameters` are those of the model.
        """
        from mlflow.entities import Metric, Param

        tags = self._place | {PARTITION_TAG: str(self._spec.partition.key), SEARCH_TAG: self._spec.fingerprint}
        name = f"trial {number}"
        trial = self._client.create_run(self._parent.experiment_id, run_name=name, tags=tags).info
        shown = [Metric(metric, value, trial.start_time, 0) for metric, value in metrics.items()]
        given = [Param(parameter, str(value)) for parameter, value in parameters.items()]
        self._client.log_batch(trial.run_id, metrics=shown, params=given)
        self._client.log_text(trial.run_id, json.dumps(record | {"number": number}), RECORD)
        self._client.set_terminated(trial.run_id, _FINISHED)

    @property
    def _place(self) -> dict[str, str]:
        return {TRIAL_OF_TAG: self._spec.dagster_run_id, _PARENT_RUN_TAG: self._parent.run_id}

    def recall(self, number: int, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of this trial if an interrupted attempt has finished it; its run now belongs to this training."""
        run, record = self._earlier.get(number, (None, {}))
        if run is None or record.get("parameters") != parameters:
            return None
        for tag, value in self._place.items():
            self._client.set_tag(run.info.run_id, tag, value)
        self.recalled += 1
        return record

    @cached_property
    def _earlier(self) -> "dict[int, tuple[Run, dict[str, Any]]]":
        """The finished trials of interrupted attempts, by their number. Unfinished ones are deleted."""
        found = {}
        for run in self._of_interrupted_attempts():
            record = self._record(run) if run.info.status == _FINISHED else None
            if record is None:
                self._client.delete_run(run.info.run_id)
            else:
                found[record["number"]] = run, record
        return found

    def _of_interrupted_attempts(self) -> "Iterator[Run]":
        interrupted: dict[str, bool] = {}
        for run in self._same_search():
            parent = run.data.tags.get(_PARENT_RUN_TAG, "")
            if parent not in interrupted:
                attempt = run_if_any(self._client, parent)
                interrupted[parent] = attempt is not None and attempt.info.status in _INTERRUPTED
            if interrupted[parent]:
                yield run

    def _same_search(self) -> "list[Run]":
        query = f"tags.`{SEARCH_TAG}` = '{self._spec.fingerprint}'"
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self._parent.experiment_id], query, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _record(self, run: "Run") -> dict[str, Any] | None:
        """What the trial has recorded; None if somebody has deleted it."""
        trial = run.info.run_id
        if RECORD not in {file.path for file in self._client.list_artifacts(trial)}:
            return None
        with tempfile.TemporaryDirectory(prefix="nhm-trial-") as folder:
            file = Path(self._client.download_artifacts(trial, RECORD, folder))
            return dict(json.loads(file.read_text(encoding="utf-8")))
