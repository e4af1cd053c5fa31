"""Starts runs as Kubernetes Jobs. Named in the cluster's `dagster.yaml`; loaded by daemon and webserver alone."""

from dagster import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig

from nhm_assets.run_launcher import GuardedRunLauncher
from nhm_assets.run_pods import run_pod_config
from nhm_assets.runs import SPECIALIST_TAG
from nhm_assets.settings import Settings


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
