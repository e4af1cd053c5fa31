"""The checks on `trained_model`: a model that cannot be served breaks the run before its evaluation."""

from collections.abc import Iterator

import pandas as pd
from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetIn, ResourceParam, multi_asset_check

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET, TRAINED_MODEL
from nhm_assets.domain.outcomes import CHECKED_RUN, CHECKED_VERSION
from nhm_assets.domain.records import TrainedModel
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.runs.log_lines import name_version
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs, selected_results
from nhm_assets.steps.retry_policy import retry_transient_errors
from nhm_assets.training.serving_contract import BLOCKING, DESCRIPTIONS, judge_version
from resources.mlflow import Mlflow
from resources.mongo import Mongo


@multi_asset_check(
    name="trained_model_checks",
    specs=check_specs(TRAINED_MODEL, DESCRIPTIONS, blocking=BLOCKING, also_read=[FEEDBACK_DATASET]),
    ins={"feedback_dataset": AssetIn(FEEDBACK_DATASET)},
    can_subset=True,
)
@retry_transient_errors
def trained_model_checks(
    context: AssetCheckExecutionContext,
    trained_model: TrainedModel,
    feedback_dataset: pd.DataFrame,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[AssetCheckResult]:
    """Check the version in the registry."""
    name_version(trained_model.version)
    with mongo.database() as database, mlflow.client() as client:
        verdicts = judge_version(
            client,
            database[AUDIT_LOG],
            trained_model.model,
            trained_model.version,
            feedback_dataset,
            settings.served_classes,
        )
    about = {CHECKED_VERSION: trained_model.version, CHECKED_RUN: trained_model.run_id}
    yield from selected_results(context, TRAINED_MODEL, verdicts, blocking=BLOCKING, about=about)
