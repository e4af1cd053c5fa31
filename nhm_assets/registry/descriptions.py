"""What the MLflow UI tells people and other programs about versions: descriptions, and the stage on the run.

Nothing reads them to decide anything, so what goes wrong here is a warning in the log and nothing more.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.outcomes import outcome_line
from nhm_assets.registry.vocabulary import PRODUCTION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from nhm_assets.domain.outcomes import Outcome
    from nhm_assets.domain.records import EvaluationReport

STAGE_TAG: Final = "stage"
"""Tag of the MLflow run of the version in Production, which other programs look for."""
_OURS: Final = "nhm-assets: "
"""How our descriptions begin; what people wrote is kept."""


def mark_run(client: "MlflowClient", version: "ModelVersion", *, before: Iterable["ModelVersion"]) -> None:
    """Tag the run of the version in Production, and take the tag from the runs of the versions before."""
    for other in before:
        if other.run_id and other.run_id != version.run_id:
            with _only_warning(f"the tag {STAGE_TAG} of run {other.run_id}"):
                if STAGE_TAG in client.get_run(other.run_id).data.tags:
                    client.delete_tag(other.run_id, STAGE_TAG)
    if version.run_id:
        with _only_warning(f"the tag {STAGE_TAG} of run {version.run_id}"):
            client.set_tag(version.run_id, STAGE_TAG, PRODUCTION)


def describe(
    client: "MlflowClient", report: "EvaluationReport", outcome: "Outcome", reason: str, *, run_url: str, now: datetime
) -> None:
    """Describe the version, and its registered model, by the newest decision about it."""
    metrics = report.candidate
    text = (
        f"{_OURS}{outcome_line(f'version {report.version}', outcome, reason)}. Decided {now:%Y-%m-%d %H:%M} UTC."
        f" F1 {metrics.f1:.3f}, precision {metrics.precision:.3f}, recall {metrics.recall:.3f} on {report.test_rows}"
        f" test rows of week {report.week}. [Dagster run]({run_url})"
    )
    with _only_warning(f"the description of {report.model} version {report.version}"):
        if _may_replace(client.get_model_version(report.model, report.version).description):
            client.update_model_version(report.model, report.version, description=text)
        if _may_replace(client.get_registered_model(report.model).description):
            client.update_registered_model(report.model, description=text)


def _may_replace(description: str | None) -> bool:
    return not description or description.startswith(_OURS)


@contextmanager
def _only_warning(subject: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        logging.getLogger(__name__).warning("%s could not be written: %s", subject, error)
