"""Launches runs as Kubernetes Jobs. Only the `dagster.yaml` for Kubernetes names this launcher."""

from typing import Final

from dagster import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from nhm_assets.domain.dagster_internals import (
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    LaunchRunContext,
    WorkerStatus,
)
from nhm_assets.instance.launcher import GuardedRunLauncher
from nhm_assets.instance.run_pods import run_pod_config
from nhm_assets.runs.tags import POD_TAG, PROCESS_TAG, SPECIALIST_TAG
from nhm_assets.settings import Settings, image_of_this_pod

_NO_SUCH_JOB: Final = "could not be found"
"""How Dagster's message ends if the Job does not exist. Any other unknown status is a temporary problem."""
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_UNAUTHORIZED: Final = 401


class RunPodLauncher(GuardedRunLauncher, K8sRunLauncher):
    """Dagster's launcher, with the resources and nodes that the settings define for the specialist of a run.

    This applies to every run, whether a schedule, a sensor, a backfill or a person started it. The tag
    `dagster-k8s/config` of a single run takes precedence.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Create the run's Job, with the image that the platform has now.

        While the API server does not answer, or nothing says which image that is, the run goes back into the queue.
        Dagster's daemon puts a run back for this error; most others would end the run for good.

        Raises:
            DagsterUserCodeUnreachableError: the API server does not answer, or cannot do this now, or the code
                location did not load and this daemon does not know the platform's image either.
        """
        try:
            super().launch_run(context._replace(dagster_run=_with_todays_image(context)))
        except DagsterK8sAPIRetryLimitExceeded as error:
            if _status(error) == _UNAUTHORIZED:
                raise
            raise DagsterUserCodeUnreachableError(
                f"The Kubernetes API server does not answer, so the Job of run {context.dagster_run.run_id} cannot be"
                f" created now: {error.k8s_api_exception}. The run waits in the queue and is launched again"
            ) from error
        except DagsterK8sUnrecoverableAPIError as error:
            if _status(error) != _CONFLICT:
                raise
            # An earlier launch created the Job, but its answer was lost.
            self._instance.report_engine_event("The Job of this run exists already.", context.dagster_run)

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """The pod configuration from the settings, overridden by the one that Dagster has for the run."""
        config = run_pod_config(Settings.load(), dagster_run.tags.get(SPECIALIST_TAG))
        from_settings = K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(config))
        return from_settings.merge(super().get_container_context_for_run(dagster_run))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's pod is alive.

        Dagster alone would fail healthy runs in two cases: if a command executes the run in the pod of another Job,
        because the run has no Job of its own, and if the API server does not answer.
        """
        if pod := run.tags.get(POD_TAG):
            return self._health_in_pod(*pod.split("/", 1))
        if PROCESS_TAG in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process cannot be checked from here")
        health: CheckRunHealthResult = super().check_run_worker_health(run)
        if health.status is WorkerStatus.UNKNOWN and not (health.msg or "").endswith(_NO_SUCH_JOB):
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"its Job cannot be checked now: {health.msg}")
        return health

    def _health_in_pod(self, namespace: str, name: str) -> CheckRunHealthResult:
        try:
            phase = self._api_client.core_api.read_namespaced_pod(name, namespace).status.phase
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return CheckRunHealthResult(WorkerStatus.FAILED, f"pod {name} in namespace {namespace} is gone")
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"pod {name} cannot be checked now: {error.reason}")
        except HTTPError as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"pod {name} cannot be checked now: {error}")
        if phase in ("Pending", "Running"):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"pod {name} in namespace {namespace} has ended ({phase})")


def _with_todays_image(context: LaunchRunContext) -> DagsterRun:
    """The run, with the platform's image. A run records the image at the time of its request.

    Between request and launch, the platform may have been upgraded, and its database may know only the new code.
    """
    if image := image_of_this_pod() or _image_of_location(context):
        return _with_image(context.dagster_run, image)
    return context.dagster_run


def _image_of_location(context: LaunchRunContext) -> str | None:
    """The image of the run's code location; None if it names none. In an upgrade, the old one may answer a while yet.

    Raises:
        DagsterUserCodeUnreachableError: the code location did not load, as happens while it starts.
    """
    run = context.dagster_run
    if context.workspace is None or run.remote_job_origin is None:
        return None
    name = run.remote_job_origin.repository_origin.code_location_origin.location_name
    entry = context.workspace.get_location_entry(name)
    if entry is None:
        return None
    if entry.code_location is None:
        raise DagsterUserCodeUnreachableError(
            f"The code location {name} did not load, so it does not say which image run {run.run_id} needs. The run"
            " waits in the queue and is launched again"
        )
    return entry.code_location.container_image


def _with_image(run: DagsterRun, image: str) -> DagsterRun:
    if (origin := run.job_code_origin) is None:
        return run
    repository = origin.repository_origin._replace(container_image=image)
    return run._replace(job_code_origin=origin._replace(repository_origin=repository))


def _status(error: DagsterK8sAPIRetryLimitExceeded | DagsterK8sUnrecoverableAPIError) -> int | None:
    """The HTTP status that the API server answered; None if it did not answer."""
    return getattr(error.k8s_api_exception, "status", None)
