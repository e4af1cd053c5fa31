"""Starts runs as Kubernetes Jobs. Named in the cluster's `dagster.yaml`; loaded by daemon and webserver alone."""

from typing import Final

from dagster import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from nhm_assets.domain.dagster_internals import CheckRunHealthResult, WorkerStatus
from nhm_assets.instance.launcher import GuardedRunLauncher
from nhm_assets.instance.run_pods import run_pod_config
from nhm_assets.runs.liveness import POD_TAG, PROCESS_TAG
from nhm_assets.runs.queries import SPECIALIST_TAG
from nhm_assets.settings import Settings

_NO_SUCH_JOB: Final = "could not be found"
"""How Dagster ends its sentence on a Job that is not there; anything else that it does not know is a passing fault."""
_NOT_FOUND: Final = 404


class RunPodLauncher(GuardedRunLauncher, K8sRunLauncher):
    """Dagster's launcher, with the resources and nodes that the settings give the specialist of a run.

    It asks the settings whatever started the run: a schedule, a sensor, a backfill or a button of the UI.
    The tag `dagster-k8s/config` of a single run wins over them.
    """

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """What Dagster knows of the run's pod, laid over what the settings say."""
        ours = run_pod_config(Settings.load(), dagster_run.tags.get(SPECIALIST_TAG))
        settled = K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(ours))
        return settled.merge(super().get_container_context_for_run(dagster_run))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's pod lives.

        Dagster would look for a Job of the run's own where the command line executes it in the pod of another one,
        and would take an API server that is away for the run's death. In both cases a run at work would be failed.
        """
        if pod := run.tags.get(POD_TAG):
            return self._health_in_pod(*pod.split("/", 1))
        if PROCESS_TAG in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process cannot be seen from here")
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        if found.status is WorkerStatus.UNKNOWN and not (found.msg or "").endswith(_NO_SUCH_JOB):
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"its Job cannot be seen now: {found.msg}")
        return found

    def _health_in_pod(self, namespace: str, name: str) -> CheckRunHealthResult:
        try:
            phase = self._api_client.core_api.read_namespaced_pod(name, namespace).status.phase
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return CheckRunHealthResult(WorkerStatus.FAILED, f"pod {name} of namespace {namespace} is gone")
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"pod {name} cannot be seen now: {error.reason}")
        except HTTPError as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"pod {name} cannot be seen now: {error}")
        if phase in ("Pending", "Running"):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"pod {name} of namespace {namespace} has ended ({phase})")
