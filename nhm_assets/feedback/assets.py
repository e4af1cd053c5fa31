"""The dataset made from the documents in MongoDB; the documents themselves are in collection_assets.py."""

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from dagster import AssetExecutionContext, DataVersion, MetadataValue, Output, ResourceParam, asset

from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.dataset_schema import QUARANTINE, data_version
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.feedback.collection_assets import observations, quarantine_event, read_collections
from nhm_assets.feedback.column_metadata import dataset_metadata, shown_counts, shown_summary
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, describe, read_window
from nhm_assets.feedback.label_picture import draw_labels
from nhm_assets.feedback.llm_agreement import ON_TRUST
from nhm_assets.feedback.llm_rows import Added, with_llm_rows
from nhm_assets.feedback.quarantine import reason_counts, replace_quarantine
from nhm_assets.feedback.reader import CollectionNames, Reader
from nhm_assets.feedback.seen import look_at
from nhm_assets.feedback.stored_features import can_write_back, write_back
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.recovery import repair_interrupted
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.settings import Settings
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.pictures import drawn, markdown
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow
from resources.mongo import Mongo, read_consistently

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession


@asset(
    partitions_def=specialist_weeks,
    hooks={tag_broken_run},
    group_name=GROUP,
    deps=read_collections,
    metadata=dataset_metadata(),
    io_manager_key="frames",
    kinds={"mongodb", "parquet"},
    description=(
        "One row per opinion of this specialist, labelled by the newest feedback in the window that ends with"
        " this week, with the 26 features of its plan. The oldest rows train, the newest test. Feedback that cannot"
        " become a row is kept in the collection `feedback_quarantine`, with the reason. Feedback that scripts made is"
        " counted and left out, unless INCLUDE_SCRIPTED_FEEDBACK is set. The data version is a digest of the rows: the"
        " same documents give the same version."
    ),
)
@retry_transient_errors
def feedback_dataset(
    context: AssetExecutionContext,
    settings: ResourceParam[Settings],
    mongo: ResourceParam[Mongo],
    mlflow: ResourceParam[Mlflow],
) -> Output[pd.DataFrame]:
    """Read the feedback of the partition's window, judge it, join it with plans, and split the rows."""
    partition = Partition.from_key(context.partition_key)
    now = settings.now()
    window = partition.window(days=settings.feedback_window_days, now=now)
    names = CollectionNames(
        settings.feedback_collection,
        settings.opinions_collection,
        settings.plans_collection,
        settings.features_collection,
    )
    with mongo.database() as database:
        repair_interrupted(mlflow, database[AUDIT_LOG], partition.specialist.registered_model, now=now)
        takes_features = can_write_back(database[names.features], context.log.warning)

        def read(session: "ClientSession | None") -> WindowRead:
            reader = Reader(database, names, partition.specialist, session)
            return read_window(reader, window, settings.selection)

        result, as_of = read_consistently(database, read)
        quarantined = replace_quarantine(
            database[QUARANTINE], result.quarantine, partition=partition, run_id=context.run_id, now=now
        )
        computed = result.computed if takes_features else {}
        written_back = write_back(database[names.features], computed, now, context.log.warning)
        seen = look_at(database, settings, all_specialists(), own=partition.specialist)
    frame = assemble(
        result,
        partition,
        window,
        min_samples=settings.min_real_samples,
        synthetic_fallback=settings.synthetic_fallback,
    )
    added = with_llm_rows(frame, partition, rules) if (rules := settings.llm_rules) else Added(frame)
    frame = added.frame
    if added.summary.get("llm_agreed_by") == ON_TRUST:
        context.log.warning("Who agrees with the labels of the language model's rows is %s.", ON_TRUST)
    summary = describe(frame, result, reason_counts(quarantined), window) | added.summary
    for event in (
        *observations(seen, context.partition_key),
        quarantine_event(summary["quarantined"], context.partition_key),
    ):
        context.log_event(event)
    frame.attrs.update(summary)
    picture = drawn(partial(draw_labels, frame, partition, window), context.log.warning)
    shown = {"picture": MetadataValue.md(markdown("labels by week and provenance", picture))} if picture else {}
    return Output(
        frame,
        data_version=DataVersion(data_version(frame)),
        metadata={
            **shown_summary(summary),
            **shown_counts(frame),
            "features_written_back": written_back,
            "read_as_of": MetadataValue.text(as_of),
            **shown,
        },
    )
