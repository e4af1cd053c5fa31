"""Dagster's queue, in which every run of a partition counts for its specialist, however it was asked for."""

from dagster import DagsterRun, QueuedRunCoordinator, SubmitRunContext

from nhm_assets.domain.dagster_internals import MAX_RETRIES_TAG
from nhm_assets.domain.partitions import Partition, specialist_weeks
from nhm_assets.instance.claims import claim_retry
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.liveness import POD_TAG, PROCESS_TAG
from nhm_assets.runs.queries import (
    ASKED_AT_TAG,
    PARENT_TAG,
    PARTITION_TAG,
    REPORTED_TAG,
    RETRY_NUMBER_TAG,
    SPECIALIST_TAG,
    TRIGGER_TAG,
    dimension_tags,
)

_OF_ONE_RUN = (TRIGGER_TAG, ASKED_AT_TAG, ACTOR_TAG)


class SpecialistRunCoordinator(QueuedRunCoordinator):
    """Tags a run with its specialist before it is queued, since that is what the limit of one at a time is set on.

    Dagster does so itself for schedules, sensors, backfills and its UI, but not for a program that launches a
    run through GraphQL and names the partition alone. And it gives a run that is started again all tags of the
    first one, with what is true of that one only.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue the run, unless it is to start one over that another daemon has started over already."""
        run = context.dagster_run
        if self._is_superfluous(run):
            return self._given_up(run)
        key = run.tags.get(PARTITION_TAG, "")
        tags = self._outdated(run)
        if SPECIALIST_TAG not in run.tags and specialist_weeks.has_partition_key(key):
            # Of both dimensions: where there is a tag of one, Dagster wants the other, too.
            tags |= dimension_tags(Partition.from_key(key))
        if tags:
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)

    def _is_superfluous(self, run: DagsterRun) -> bool:
        parent = run.parent_run_id or run.tags.get(PARENT_TAG)
        return bool(
            parent and RETRY_NUMBER_TAG in run.tags and claim_retry(self._instance, parent, run.run_id) != run.run_id
        )

    def _given_up(self, run: DagsterRun) -> DagsterRun:
        # Nobody is to be told of it: the other one has the outcome.
        self._instance.add_run_tags(run.run_id, {REPORTED_TAG: run.run_id})
        self._instance.report_run_canceled(run, "Another daemon has started the run over already: one retry only.")
        return self._instance.get_run_by_id(run.run_id) or run

    def _outdated(self, run: DagsterRun) -> dict[str, str]:
        """What a run has inherited that is not true of it, emptied: tags cannot be taken away."""
        # What is queued is never executed by the command line.
        names = [PROCESS_TAG, POD_TAG]
        person = (run.parent_run_id or PARENT_TAG in run.tags) and RETRY_NUMBER_TAG not in run.tags
        if person:
            names += _OF_ONE_RUN
        tags = {name: "" for name in names if run.tags.get(name)}
        if person and MAX_RETRIES_TAG in run.tags:
            # That of a run which was ended on purpose.
            tags[MAX_RETRIES_TAG] = str(self._instance.run_retries_max_retries)
        return tags
