"""Dagster's queue, in which every run of a partition counts for its specialist, however it was asked for."""

from dagster import DagsterRun, QueuedRunCoordinator
from dagster._core.run_coordinator import SubmitRunContext

from nhm_assets.partitions import Partition, specialist_weeks
from nhm_assets.runs import PARTITION_TAG, SPECIALIST_TAG, dimension_tags


class SpecialistRunCoordinator(QueuedRunCoordinator):
    """Tags a run with its specialist before it is queued, since that is what the limit of one at a time is set on.

    Dagster does so itself for schedules, sensors, backfills and its UI, but not for a program that launches a
    run through GraphQL and names the partition alone.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue the run."""
        run = context.dagster_run
        key = run.tags.get(PARTITION_TAG, "")
        if SPECIALIST_TAG not in run.tags and specialist_weeks.has_partition_key(key):
            # Of both dimensions: where there is a tag of one, Dagster wants the other, too.
            self._instance.add_run_tags(run.run_id, dimension_tags(Partition.from_key(key)))
        return super().submit_run(context)
