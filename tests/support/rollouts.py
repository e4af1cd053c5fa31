"""Rollouts of a registered version, and the check on them alone."""

from dataclasses import dataclass, field
from typing import Any

from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import Promotion
from nhm_assets.domain.specialists import Specialist
from nhm_assets.rollout.execute import RolloutRequest
from resources.storage import RecordIOManager
from tests.support.documents import NOW, WEEK, WEEK_END
from tests.support.kube import Namespace
from tests.support.platform import QUIET, Platform


def cluster_settings(specialists: Namespace, **changes: Any) -> dict[str, Any]:
    """Settings for the specialists of a test, with short time limits."""
    return {
        "kubeconfig": specialists.kubeconfig,
        "specialist_namespace": specialists.name,
        "rollout_timeout_s": 90.0,
        "kubernetes_timeout_s": 10.0,
        "model_load_timeout_s": 2.0,
        "service_retries": 0,
        **changes,
    }


@dataclass
class Registry:
    """Versions, mostly without model files, promoted as `promoted_version` does."""

    platform: Platform
    promoted: dict[str, str | None] = field(default_factory=dict)

    def promote(self, specialist: str = "technical", *, files: str = "file:///nowhere") -> str:
        """Register a version, put it into Production and store the record from which a rollout starts."""
        from nhm_assets.registry.transitions import put_into_production
        from nhm_assets.registry.vocabulary import CLASSES_TAG

        model, previous = Specialist(specialist).registered_model, self.promoted.get(specialist)
        with self.platform.mlflow.client() as client:
            if previous is None:
                client.create_registered_model(model)
            run, tags = client.create_run("0"), {CLASSES_TAG: "approve,reject,review_required"}
            version = str(client.create_model_version(model, files, run_id=run.info.run_id, tags=tags).version)
            put_into_production(client, model, version, previous=previous, assert_lease=lambda: None)
        self.promoted[specialist] = version
        self.record(specialist, version, previous)
        return version

    def bring_back(self, version: str, *, from_version: str, specialist: str = "technical") -> None:
        """Roll the registry back and nothing else, as a process that dies right afterwards."""
        from nhm_assets.registry.rollback import RollbackRequest, roll_back

        request = RollbackRequest(
            Specialist(specialist).registered_model, "it fails", to=version, from_version=from_version
        )
        with self.platform.mlflow.client() as client:
            roll_back(client, self.platform.database["model_audit_log"], request, now=NOW, wait_s=0)

    def record(self, specialist: str, version: str, previous: str | None = None) -> None:
        """Store the record of a promotion where the next asset reads it."""
        promotion = Promotion(
            specialist=specialist,
            week=WEEK,
            window_end=WEEK_END,
            model=Specialist(specialist).registered_model,
            version=version,
            previous_version=previous,
            report_digest="0" * 32,
            audit_id=None,
        )
        RecordIOManager(self.platform.settings.storage).store(promotion, "promoted_version", specialist, WEEK)


def rollout_request(specialist: str, version: str) -> RolloutRequest:
    """The request for a version of a specialist, without a rollback."""
    fields = {"specialist": specialist}
    return RolloutRequest(
        f"{specialist}-evaluator", version, "run-1", fields, rollback=False, now=NOW, promotion_wait_s=1
    )


def roll_out(platform: Platform, specialist: str = "technical") -> ExecuteInProcessResult:
    """Materialize only `specialist_rollout`, for the promoted version."""
    return platform.retrain(specialist, only=["specialist_rollout"])


def check_alone(platform: Platform, specialist: str = "technical") -> ExecuteInProcessResult:
    """Execute only the check `models_loaded`, as its button in the UI does."""
    from dagster import AssetCheckKey

    job = build_definitions(platform.settings).resolve_job_def(JOB)
    check = AssetCheckKey(AssetKey("specialist_rollout"), "models_loaded")
    return job.get_subset(asset_selection=set(), asset_check_selection={check}).execute_in_process(
        partition_key=Partition.parse(WEEK, specialist).key,
        instance=platform.instance,
        raise_on_error=False,
        run_config=QUIET,
    )
