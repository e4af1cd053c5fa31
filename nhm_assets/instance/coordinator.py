"""Dagster's run queue. Every run of a partition counts for its specialist, however it was started."""

import time
from functools import cached_property
from typing import Final

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator, SubmitRunContext

from nhm_assets.domain.dagster_internals import MAX_RETRIES_TAG
from nhm_assets.domain.outcomes import OUTCOME_TAG, TRANSIENT_TAG, VERSION_TAG, shortened
from nhm_assets.domain.partitions import Partition, weeks
from nhm_assets.instance.claims import claim_request, claim_retry, delete_unsubmitted, take_over_request
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.broken_runs import run_rules
from nhm_assets.runs.queries import ASSET_JOB, dimension_tags
from nhm_assets.runs.restarts import RESTARTS_TAG
from nhm_assets.runs.tags import (
    ASKED_AT_TAG,
    PARENT_TAG,
    PARTITION_TAG,
    POD_TAG,
    PROCESS_TAG,
    REPORTED_TAG,
    RETRY_NUMBER_TAG,
    RUN_KEY_TAG,
    SPECIALIST_TAG,
    TRIGGER_TAG,
)
from nhm_assets.settings import Settings

_REQUEST_TAGS = (TRIGGER_TAG, ASKED_AT_TAG, ACTOR_TAG)
"""Tags that say who or what requested a run, and when."""

_BACKFILL_TAG: Final = "dagster/backfill"
_PRIORITY_TAG: Final = "dagster/priority"
_SUBMITTED_WITHIN_S: Final = 5.0
"""From the claim of a request until its run is in the queue, on a busy machine."""
_BEHIND_ALL_OTHERS: Final = "-1"
"""Runs without this tag have priority 0."""


class SpecialistRunCoordinator(QueuedRunCoordinator):
    """Corrects the tags of a run before it is queued.

    The limit of one run per specialist depends on the specialist's tag. Dagster sets it for schedules, sensors,
    backfills and its UI, but not if a program launches a run through GraphQL with a partition key only. And a rerun
    gets all tags of the first run, also those that are true of the first run only.
    """

    @cached_property
    def _settings(self) -> Settings:
        """Loaded once: the schedule submits hundreds of runs in one tick."""
        return Settings.load()

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue the run, unless another daemon has submitted it, retried the same run, or requested the same one."""
        run = context.dagster_run
        if not self._is_waiting(run):
            return self._as_it_is(run)
        if self._is_duplicate_retry(run):
            return self._cancel(run)
        if self._is_duplicate_request(run):
            # Deleted, not canceled: it would be the newest run of its partition, and look like one that broke.
            self._instance.delete_run(run.run_id)
            return run
        tags = self._tags_in_queue(context)
        # Another daemon may have submitted it meanwhile, or deleted it. Dagster looks at the status from before this
        # call, and would queue again a run that has a process, whose tags are not to be emptied either.
        if tags and self._is_waiting(run):
            self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context) if self._is_waiting(run) else self._as_it_is(run)

    def _is_waiting(self, run: DagsterRun) -> bool:
        """Whether it still exists, and nobody has submitted it."""
        now = self._instance.get_run_by_id(run.run_id)
        return now is not None and now.status is DagsterRunStatus.NOT_STARTED

    def _as_it_is(self, run: DagsterRun) -> DagsterRun:
        return self._instance.get_run_by_id(run.run_id) or run

    def _tags_in_queue(self, context: SubmitRunContext) -> dict[str, str]:
        """The tags that the run does not have yet, or not with these values."""
        run = context.dagster_run
        tags = self._corrected_tags(run) | _person_tag(context, self._settings.actor_header)
        partition = Partition.named(run.tags.get(PARTITION_TAG, ""))
        if SPECIALIST_TAG not in run.tags and partition and weeks().has_partition_key(partition.week):
            # Dagster requires tags for both dimensions if there is one for either.
            tags |= dimension_tags(partition)
        if _BACKFILL_TAG in run.tags and _PRIORITY_TAG not in run.tags:
            # Hundreds of old weeks must not hold up the schedule, the sensors or a person.
            tags[_PRIORITY_TAG] = _BEHIND_ALL_OTHERS
        if run.job_name.startswith(ASSET_JOB) and partition:
            # It belongs to no job of ours, and is a retraining all the same.
            tags |= {name: rule for name, rule in run_rules(self._settings).items() if name not in run.tags}
        return tags

    def _is_duplicate_retry(self, run: DagsterRun) -> bool:
        parent = _parent_of(run)
        if not parent or RETRY_NUMBER_TAG not in run.tags:
            return False
        return claim_retry(self._instance, parent, run.run_id) != run.run_id

    def _is_duplicate_request(self, run: DagsterRun) -> bool:
        """Whether another run with the same run key, from the same schedule or sensor, has been submitted before."""
        key = run.tags.get(RUN_KEY_TAG)
        if not key or _parent_of(run):
            return False
        while (first := claim_request(self._instance, key, run.run_id)) != run.run_id:
            if self._is_submitted(first):
                return True
            # Left there, it would fail when its time to start is over, and Dagster would retry it: a second run.
            if delete_unsubmitted(self._instance, first) and take_over_request(self._instance, key, first, run.run_id):
                return False
        return False

    def _is_submitted(self, run_id: str) -> bool:
        """Whether the run is in the queue or beyond, soon. Not if somebody deleted it, or if its daemon died first."""
        deadline = time.monotonic() + _SUBMITTED_WITHIN_S
        while (run := self._instance.get_run_by_id(run_id)) and run.status is DagsterRunStatus.NOT_STARTED:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return run is not None

    def _cancel(self, run: DagsterRun) -> DagsterRun:
        # Marked as reported, so that nobody is notified: the other retry reports the outcome.
        self._instance.add_run_tags(run.run_id, {REPORTED_TAG: run.run_id})
        self._instance.report_run_canceled(run, "Canceled, because another daemon has already retried the same run.")
        return self._as_it_is(run)

    def _corrected_tags(self, run: DagsterRun) -> dict[str, str]:
        """New values for inherited tags that are not true of this run. Tags cannot be removed, only emptied."""
        # A queued run is never executed by a command, and has not ended.
        names = [PROCESS_TAG, POD_TAG, OUTCOME_TAG, TRANSIENT_TAG, VERSION_TAG]
        is_rerun_by_person = _parent_of(run) and RETRY_NUMBER_TAG not in run.tags
        if is_rerun_by_person:
            names += [*_REQUEST_TAGS, RESTARTS_TAG]
        tags = {name: "" for name in names if run.tags.get(name)}
        if is_rerun_by_person and MAX_RETRIES_TAG in run.tags:
            # The first run was terminated on purpose, which set this to 0.
            tags[MAX_RETRIES_TAG] = str(self._instance.run_retries_max_retries)
        return tags


def _person_tag(context: SubmitRunContext, header: str) -> dict[str, str]:
    """The user of the UI, as the authenticating proxy before it names them in ACTOR_HEADER.

    Only that proxy may reach the UI, so the header can be trusted; a tag that somebody typed in the launchpad cannot.
    """
    name = context.get_request_header(header)
    return {ACTOR_TAG: shortened(name.strip())} if name and name.strip() else {}


def _parent_of(run: DagsterRun) -> str | None:
    return run.parent_run_id or run.tags.get(PARENT_TAG)
