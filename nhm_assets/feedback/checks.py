"""The checks on `feedback_dataset`. The blocking ones keep bad data out of training."""

from collections.abc import Iterator

import pandas as pd
from dagster import AssetCheckExecutionContext, AssetCheckResult, ResourceParam, multi_asset_check

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.dataset_schema import data_version
from nhm_assets.domain.outcomes import CHECKED_DATA
from nhm_assets.feedback.dataset_rules import BLOCKING, DESCRIPTIONS, QualityRules, judge_dataset
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs, selected_results


@multi_asset_check(
    name="feedback_dataset_checks",
    specs=check_specs(FEEDBACK_DATASET, DESCRIPTIONS, blocking=BLOCKING),
    can_subset=True,
)
def feedback_dataset_checks(
    context: AssetCheckExecutionContext, feedback_dataset: pd.DataFrame, settings: ResourceParam[Settings]
) -> Iterator[AssetCheckResult]:
    """Judge the dataset as it was stored and read back."""
    rules = QualityRules(
        min_real_samples=settings.min_real_samples,
        max_feedback_age_days=settings.max_feedback_age_days,
        max_rejected_fraction=settings.max_rejected_fraction,
    )
    verdicts, about = judge_dataset(feedback_dataset, rules), {CHECKED_DATA: data_version(feedback_dataset)}
    yield from selected_results(context, FEEDBACK_DATASET, verdicts, blocking=BLOCKING, about=about)
