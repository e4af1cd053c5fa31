"""A Dagster instance whose runs become Kubernetes Jobs, without a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from dagster import DagsterInstance

from tests.support.processes import ROOT
from tests.support.sqlite_instances import pooled_instance


@contextmanager
def instance_with_pods(folder: Path, address: str) -> Iterator[DagsterInstance]:
    """An instance with the queue of `deploy/`, whose runs are Jobs on the API server at this address.

    The variable MAX_CONCURRENT_RUNS must be set.
    """
    kubeconfig = folder / "kubeconfig"
    access = {
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(yaml.safe_dump(access))
    config = {
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "service_account_name": "nhm-run",
        "instance_config_map": "nhm-dagster",
        "dagster_home": "/opt/dagster/dagster_home",
        "job_namespace": "mlflow",
        "job_image": "nhm-assets",
    }
    launcher = {"module": "nhm_assets.instance.pod_launcher", "class": "RunPodLauncher", "config": config}
    common = yaml.safe_load((ROOT / "deploy" / "dagster" / "common.yaml").read_text())
    overrides = {
        "run_launcher": launcher,
        "run_coordinator": common["run_coordinator"],
        "run_retries": common["run_retries"],
    }
    with pooled_instance(folder, **overrides) as instance:
        yield instance
