"""A job that a person starts by a command: it runs in this process, and the audit log names who started it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nhm_assets.commands.person import person
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


def run_job(
    settings: Settings, command: str, job_name: str, op: str, config: Mapping[str, Any]
) -> "tuple[ExecuteInProcessResult, str | None]":
    """Run a job with the config of one of its ops; the result, and why it failed, if it did.

    Args:
        settings: where the services are.
        command: the command's name, for the audit log.
        job_name: the job.
        op: the op that reads the config.
        config: what was asked for, already checked.

    Raises:
        UsageError: a service does not answer.
    """
    with startup_without_gc():
        from nhm_assets.commands.health import require_services
        from nhm_assets.definitions import build_definitions
        from nhm_assets.instance.home import dagster_instance
        from nhm_assets.registry.audit_log import ACTOR_TAG
        from nhm_assets.resource_factories import mongo_of
        from nhm_assets.runs.failure_cause import failure_of
        from nhm_assets.runs.in_process import in_process_config, in_process_tags

    who = person(settings, command)
    with mongo_of(settings).held(), dagster_instance(settings) as instance:
        require_services(settings)
        job = build_definitions(settings).resolve_job_def(job_name)
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=in_process_config(settings) | {"ops": {op: {"config": config}}},
            tags={**in_process_tags(settings), ACTOR_TAG: who},
        )
        if result.success:
            return result, None
        run = instance.get_run_by_id(result.run_id)
        return result, failure_of(instance, run).reason if run else f"run {result.run_id} was deleted while it ran"
