"""Every private name of Dagster that the tests use; an upgrade of Dagster is checked here.

The product has a module of its own for this: `nhm_assets/domain/dagster_internals.py`.
"""

from dagster._config import process_config, resolve_to_config_type, validate_config
from dagster._config.pythonic_config.resource import get_resource_type_name
from dagster._core.definitions import instigation_logger
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.instigation_logger import InstigationLogger
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterUserCodeExecutionError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import StepFailureData, StepMaterializationData
from dagster._core.instance.config import dagster_instance_config, dagster_instance_config_schema
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage import sql
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.storage.defs_state.base import _current_storage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.config_schema import process_workspace_config
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget, ModuleTarget
from dagster._daemon.controller import all_daemons_live
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._daemon.types import DaemonHeartbeat
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._utils.error import SerializableErrorInfo

__all__ = [
    "RUN_FAILURE_REASON_TAG",
    "AssetCheckEvaluationPlanned",
    "ComputeIOType",
    "DaemonHeartbeat",
    "DagsterExecutionInterruptedError",
    "DagsterUserCodeExecutionError",
    "DefaultPartitionsSubset",
    "InProcessCodeLocationOrigin",
    "InProcessWorkspaceLoadTarget",
    "InstanceRef",
    "InstigationLogger",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "KeyValueStoreTable",
    "LaunchRunContext",
    "LoadableTargetOrigin",
    "ModuleTarget",
    "NoOpComputeLogManager",
    "PartitionKeyFilter",
    "QueuedRunCoordinator",
    "QueuedRunCoordinatorDaemon",
    "RemoteInstigatorOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "ScheduleInstigatorData",
    "SensorInstigatorData",
    "SerializableErrorInfo",
    "StepFailureData",
    "StepMaterializationData",
    "SubmitRunContext",
    "TickData",
    "TickStatus",
    "WorkerStatus",
    "WorkspaceProcessContext",
    "all_daemons_live",
    "create_run_for_test",
    "create_test_daemon_workspace_context",
    "dagster_instance_config",
    "dagster_instance_config_schema",
    "execute_sensor_iteration",
    "forget_entered_instance",
    "freeze_time",
    "get_resource_type_name",
    "instigation_logger",
    "launch_scheduled_runs",
    "process_config",
    "process_workspace_config",
    "resolve_to_config_type",
    "sql",
    "validate_config",
]


def forget_entered_instance() -> None:
    """Dagster remembers the state storage of the instance that was entered last. Forget it."""
    _current_storage.set(None)
