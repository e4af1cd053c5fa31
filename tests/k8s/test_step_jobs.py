"""With RUN_EXECUTOR=k8s_job, every step of a run is a Job."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.outcomes import OUTCOME_TAG
from tests.k8s.conftest import Retrainable
from tests.support.manifests import find, with_component
from tests.support.run_jobs import Dagster, dagster_in_cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.exhaustive, pytest.mark.timeout(1800)]

SWITCHED = {"RUN_EXECUTOR": "k8s_job"}


@pytest.fixture
def dagster(retrainable: Retrainable, tmp_path: Path) -> Iterator[Dagster]:
    """Dagster in a cluster with the component's rights and its setting."""
    manifests = with_component(tmp_path / "k8s", "step-jobs")
    retrainable.cluster.apply(*(find(manifests, kind, "nhm-run-steps") for kind in ("Role", "RoleBinding")))
    retrainable.cluster.put_secret("nhm-secrets", retrainable.settings | SWITCHED)
    (tmp_path / "dagster").mkdir()
    with dagster_in_cluster(retrainable, tmp_path / "dagster", **SWITCHED) as dagster:
        yield dagster
    retrainable.cluster.put_secret("nhm-secrets", retrainable.settings)


def test_each_step_is_a_job_and_the_run_promotes(dagster: Dagster):
    dagster.launch("technical")
    (run,) = dagster.wait_for("technical", 1, within_s=1200)
    assert run.status is DagsterRunStatus.SUCCESS, dagster.story(run)
    assert run.tags[OUTCOME_TAG] == "promoted"
    jobs = dagster.retrainable.cluster.get("jobs", "-n", "mlflow")["items"]
    of_run = [job["metadata"]["name"] for job in jobs if job["metadata"]["labels"].get("dagster/run-id") == run.run_id]
    assert len([name for name in of_run if name.startswith("dagster-step-")]) > 5
