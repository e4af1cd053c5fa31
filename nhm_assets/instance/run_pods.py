"""Resources, time limits and nodes of a run's pod on Kubernetes.

Everything else about the pod (account, volumes, labels, security) is in the `dagster.yaml` for Kubernetes.
"""

from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.pod_resources import PodResources
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecutorDefinition

_STARTUP_AND_SHUTDOWN_S: Final = 900
"""Extra time for the Job beyond the run's limit, to pull the image and to stop the run."""

_DISK_REQUEST: Final = {"ephemeral-storage": "256Mi"}
_DISK_LIMIT: Final = {"ephemeral-storage": "5Gi"}
"""Of a run: its two temporary volumes, and what it prints."""

_NODE_IS_GONE: Final = tuple(
    {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    for condition in ("not-ready", "unreachable")
)
"""A run whose node is gone is evicted after a minute, not after five, and then retried on another node."""


def run_pod_config(settings: Settings, specialist: str | None) -> dict[str, Any]:
    """The `dagster-k8s/config` of a run, from the settings RUN_* and MAX_RUN_SECONDS.

    Args:
        settings: the settings.
        specialist: the specialist that the run retrains; None for any other run.
    """
    tolerations = [*_NODE_IS_GONE, *settings.run_tolerations]
    nodes = {
        "node_selector": settings.run_node_selector,
        "tolerations": tolerations,
        "priority_class_name": settings.run_priority_class,
    }
    return {
        "container_config": {"resources": _resources(settings, specialist)},
        "pod_spec_config": {name: value for name, value in nodes.items() if value},
        "job_spec_config": {
            "active_deadline_seconds": settings.max_run_seconds + _STARTUP_AND_SHUTDOWN_S,
            "ttl_seconds_after_finished": settings.run_ttl_s,
        },
    }


def _resources(settings: Settings, specialist: str | None) -> dict[str, dict[str, str]]:
    own = settings.run_resources.get(specialist or "", PodResources())
    memory = own.memory or settings.run_memory
    return {
        "requests": {"cpu": own.cpu_request or settings.run_cpu_request, "memory": memory, **_DISK_REQUEST},
        # Limit = request: a node that runs out of memory evicts pods that use more than they requested.
        "limits": {"cpu": own.cpu_limit or settings.run_cpu_limit, "memory": memory, **_DISK_LIMIT},
    }


def executor_of(settings: Settings) -> "ExecutorDefinition":
    """The executor of a run's steps: in the process of the run, or each step in a Job of its own."""
    from dagster import in_process_executor

    if settings.run_executor == "in_process":
        # A run is one partition and a few seconds of work. One process per step would take longer to start.
        return in_process_executor
    from dagster_k8s import k8s_job_executor

    executor: ExecutorDefinition = k8s_job_executor.configured(
        {"step_k8s_config": run_pod_config(settings, None)}, name="k8s_job"
    )
    return executor
