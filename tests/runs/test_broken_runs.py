"""A run that breaks says why on the run itself, whoever started it, and shows a sentence instead of a stack trace."""

import pytest
from dagster import AssetExecutionContext, DagsterInstance, Definitions, ResourceParam, asset, define_asset_job

from nhm_assets.definitions import defs
from nhm_assets.domain.dagster_names import AB_TEST_JOB, JOB, REPLAY_JOB, RETENTION_JOB, ROLLBACK_JOB
from nhm_assets.domain.errors import NhmError, PromotionRefused, RegistryError
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.restarts import RESTARTS_TAG
from nhm_assets.runs.tags import ASKED_AT_TAG, ATTEMPTS_TAG, LAUNCHED_ON_TAG, POD_TAG, PROCESS_TAG, REPORTED_TAG
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from sensors.run_status import NOTIFIED_TAG
from tests.support.platform import QUIET

HIDDEN = ".dagster/"
"""Dagster's UI lists no tags that begin so."""


@pytest.mark.parametrize("job", ["retraining", "__ASSET_JOB"], ids=["of the job", "from an asset's page"])
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(PromotionRefused("version 7 is held by f1_threshold"), "refused"), (RegistryError("no stage"), "broken")],
    ids=["refused", "broken"],
)
def test_a_broken_run_is_tagged_once_and_shows_a_sentence(job: str, error: NhmError, outcome: str):
    @asset(hooks={tag_broken_run})
    @retry_transient_errors
    def promoted_version(context: AssetExecutionContext, settings: ResourceParam[Settings]) -> None:
        raise error

    jobs = [define_asset_job("retraining", hooks={tag_broken_run})]
    location = Definitions(
        [promoted_version], jobs=jobs, resources={"settings": Settings(code_url="https://git.example/nhm")}
    )
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        result = location.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False, run_config=QUIET
        )
        tags = instance.get_run_by_id(result.run_id).tags
    assert (tags["nhm/outcome"], tags["nhm/reason"]) == (outcome, f"promoted_version: {error}")
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data.description == str(error)
    assert failure.user_failure_data.metadata["broken_by"].value == str(error.broken_by)
    assert failure.user_failure_data.metadata["runbook"].value == "https://git.example/nhm/docs/runbook.md"
    assert [event.event_type_value for event in result.all_events if "HOOK" in event.event_type_value] == [
        "HOOK_COMPLETED"
    ]


def test_every_asset_that_a_run_materializes_tags_the_run_if_it_breaks():
    steps = [one for one in defs.assets or () if hasattr(one, "hook_defs") and one.is_executable]
    assert len(steps) >= 5
    assert [one.key for one in steps if tag_broken_run not in one.hook_defs and one.keys] == []


@pytest.mark.parametrize("job", [JOB, ROLLBACK_JOB, AB_TEST_JOB, REPLAY_JOB, RETENTION_JOB])
def test_a_run_of_every_job_says_why_it_broke(job: str):
    assert tag_broken_run in defs.resolve_job_def(job).hook_defs


def test_the_list_of_runs_hides_the_tags_that_only_the_platform_reads():
    plumbing = (
        PROCESS_TAG,
        POD_TAG,
        LAUNCHED_ON_TAG,
        ASKED_AT_TAG,
        ATTEMPTS_TAG,
        REPORTED_TAG,
        RESTARTS_TAG,
        NOTIFIED_TAG,
    )
    assert [tag for tag in plumbing if not tag.startswith(HIDDEN)] == []
