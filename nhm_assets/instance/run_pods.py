"""What a run's pod is given on Kubernetes: processor and memory, time, and the nodes it may land on.

Everything else about it (account, volumes, labels, security) stands in the cluster's `dagster.yaml`.
"""

from typing import TYPE_CHECKING, Any, Final

from nhm_assets.settings import PodResources, Settings

if TYPE_CHECKING:
    from dagster import ExecutorDefinition

_LATER_S: Final = 900
"""By how much the Job's own deadline lies behind the run's: pulling the image and ending the run count, too."""


def run_pod_config(settings: Settings, specialist: str | None) -> dict[str, Any]:
    """The `dagster-k8s/config` of a run.

    Args:
        settings: the settings RUN_* and MAX_RUN_SECONDS decide.
        specialist: whom the run retrains; None for a run of something else.
    """
    nodes: dict[str, Any] = {}
    if settings.run_node_selector:
        nodes["node_selector"] = dict(settings.run_node_selector)
    if settings.run_tolerations:
        nodes["tolerations"] = [dict(one) for one in settings.run_tolerations]
    return {
        "container_config": {"resources": _resources(settings, specialist)},
        "pod_spec_config": nodes,
        "job_spec_config": {
            "active_deadline_seconds": settings.max_run_seconds + _LATER_S,
            "ttl_seconds_after_finished": settings.run_ttl_s,
        },
    }


def _resources(settings: Settings, specialist: str | None) -> dict[str, dict[str, str]]:
    own = settings.run_resources.get(specialist or "", PodResources())
    memory = own.memory or settings.run_memory
    return {
        "requests": {"cpu": own.cpu_request or settings.run_cpu_request, "memory": memory},
        # Memory beyond the request is the node's to take back at any moment, with the pod.
        "limits": {"cpu": own.cpu_limit or settings.run_cpu_limit, "memory": memory},
    }


def executor_of(settings: Settings) -> "ExecutorDefinition":
    """How the steps of a run are executed: in its own process, or each in a Job of its own."""
    from dagster import in_process_executor

    if settings.run_executor == "in_process":
        # A run is one partition and a few seconds of work: processes of its own would cost more than they give.
        return in_process_executor
    from dagster_k8s import k8s_job_executor

    executor: ExecutorDefinition = k8s_job_executor.configured(
        {"step_k8s_config": run_pod_config(settings, None)}, name="k8s_job"
    )
    return executor
