"""The asset of the last stage: what the version in Production did."""

from collections.abc import Iterator
from functools import partial

from dagster import AssetCheckResult, AssetExecutionContext, MetadataValue, Output, ResourceParam, asset

from nhm_assets.domain.asset_keys import SERVED_QUALITY, SPECIALIST_ROLLOUT
from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.served.checks import judge_week, served_quality_checks
from nhm_assets.served.measure import Measurement, first_line, not_read
from nhm_assets.served.monitoring import write_monitoring
from nhm_assets.served.served_picture import draw_week
from nhm_assets.served.tables import metadata_of
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_results
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.pictures import drawn, markdown
from resources.mlflow import Mlflow
from resources.mongo import Mongo
from resources.storage import RecordIOManager


@asset(
    partitions_def=specialist_weeks,
    group_name=GROUP,
    deps=[SPECIALIST_ROLLOUT],
    io_manager_key="records",
    output_required=False,
    hooks={tag_broken_run},
    check_specs=served_quality_checks,
    kinds={"mongodb"},
    description=(
        "What the version in Production did in this week: who gave the specialist's opinions, and how far people agree"
        " with those of each version. It is made from documents alone, so it can be made again for any week. Its checks"
        " only warn. If MongoDB is down or slow, it says what was not measured, and no run breaks."
    ),
)
def served_quality(
    context: AssetExecutionContext,
    settings: ResourceParam[Settings],
    mongo: ResourceParam[Mongo],
    mlflow: ResourceParam[Mlflow],
) -> Iterator[Output[ServedQuality] | AssetCheckResult]:
    """Measure, and yield record and verdicts together. Nothing in here may break the retraining that it ends."""
    partition, now = Partition.from_key(context.partition_key), settings.now()
    try:
        with mongo.database() as database:
            quality = Measurement(database, mlflow, partition, settings, now, context.log.warning).measure()
            write_monitoring(database, quality, warn=context.log.warning)
    except Exception as error:  # noqa: BLE001 - as above
        quality = not_read(partition, now, first_line(error))
    for part, reason in quality.faults.items():
        context.log.warning("%s: %s was not measured: %s", partition.key, part, reason)
    verdicts = judge_week(quality, settings)
    try:
        # The I/O manager finds it there: what is not written here does not break its step.
        RecordIOManager(settings.storage).store(
            quality, SERVED_QUALITY.to_user_string(), str(partition.specialist), partition.week
        )
    except Exception as error:  # noqa: BLE001 - as above
        context.log.warning("%s: what was measured is not stored: %s", partition.key, first_line(error))
    else:
        shown = metadata_of(quality, verdicts)
        if picture := drawn(partial(draw_week, quality), context.log.warning):
            shown = {"picture": MetadataValue.md(markdown("what the served version does", picture)), **shown}
        yield Output(quality, metadata=shown)
    yield from check_results(SERVED_QUALITY, verdicts, context.partition_key)
