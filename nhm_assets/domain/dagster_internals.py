"""Every private name of Dagster that the platform uses; an upgrade of Dagster is checked here.

Tested with Dagster 1.13. Nothing else in the product imports from a module of Dagster whose name begins with `_`.
"""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from dagster import colored_console_logger
from dagster._core.definitions import instigation_logger
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import AssetMaterializationPlannedData, RunFailureReason
from dagster._core.execution.execute_in_process import core_execute_in_process, merge_run_tags
from dagster._core.execution.plan import active
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    TickStatus,
)
from dagster._core.storage import sql
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
)
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import pg_config
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.runs.schema import KeyValueStoreTable, RunsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules import ScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import MAX_RETRIES_TAG, RUN_FAILURE_REASON_TAG
from dagster._core.utils import make_new_run_id
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster._time import get_current_datetime
from dagster._utils.error import SerializableErrorInfo
from dagster._utils.schedules import get_next_cron_tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from logging import Logger, LogRecord
    from multiprocessing.context import BaseContext
    from typing import Any

    from alembic.config import Config
    from dagster import DagsterInstance, ExecuteInProcessResult, InitLoggerContext, JobDefinition

__all__ = [
    "COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES",
    "MAX_RETRIES_TAG",
    "RUN_FAILURE_REASON_TAG",
    "SQLITE_BUSY_TIMEOUT_SECONDS",
    "AssetCheckExecutionRecord",
    "AssetCheckExecutionsTable",
    "AssetMaterializationPlannedData",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterSqliteStorage",
    "DagsterStorage",
    "DagsterUserCodeUnreachableError",
    "DefaultRunLauncher",
    "EventLogStorage",
    "InstigatorState",
    "InstigatorTick",
    "InstigatorType",
    "KeyValueStoreTable",
    "LaunchRunContext",
    "PartitionKeyFilter",
    "RunFailureReason",
    "RunLauncher",
    "RunStorage",
    "RunsTable",
    "ScheduleInstigatorData",
    "ScheduleStorage",
    "SerializableErrorInfo",
    "SqlEventLogStorage",
    "SqlRunStorage",
    "SqliteEventLogStorage",
    "SqliteRunStorage",
    "SqliteScheduleStorage",
    "TickStatus",
    "UnresolvedAssetJobDefinition",
    "WorkerStatus",
    "auto_reexecution_should_retry_run",
    "execute_and_keep_nothing",
    "get_current_datetime",
    "get_next_cron_tick",
    "make_new_run_id",
    "pg_config",
    "read_migrations_once",
    "replace_console_logger",
    "replace_tick_logger",
    "serve_code",
    "warn_only_of_steps_that_proceed",
]


def replace_console_logger(make: "Callable[[InitLoggerContext], Logger]") -> None:
    """Make Dagster print the lines of all runs in this process by another logger.

    Loggers in `Definitions` are used only by runs whose configuration names them, and those started from an asset's
    page have none. Dagster 1.13 takes this one for every run that names no other, and for the name `console`.
    """
    colored_console_logger._logger_fn = make


def replace_tick_logger(make: "Callable[[], Logger]") -> None:
    """Make Dagster print what the sensors and schedules in this process log by another logger.

    It offers no setting for that. Dagster 1.13 asks for this one at each tick.
    """
    instigation_logger.create_console_logger = lambda *_: make()


_should_skip_step = ActiveExecution._should_skip_step


def warn_only_of_steps_that_proceed() -> None:
    """Drop a warning of Dagster that is not true: that a step proceeds without the verdicts of blocking checks.

    If an asset was not made, its checks and all steps that need it are skipped. Dagster 1.13 writes the warning before
    it finds out.
    """

    def judged(execution: ActiveExecution, step_key: str) -> bool:
        said: list[LogRecord] = []

        def keep(record: "LogRecord") -> bool:
            said.append(record)
            return False

        active.logger.addFilter(keep)
        try:
            skipped = _should_skip_step(execution, step_key)
        finally:
            active.logger.removeFilter(keep)
        for record in () if skipped else said:
            active.logger.handle(record)
        return skipped

    ActiveExecution._should_skip_step = judged  # type: ignore[assignment, method-assign]


_migrations = cache(ScriptDirectory.from_config)


def read_migrations_once() -> None:
    """Make this process read Dagster's migrations once, instead of whenever a SQLite file is opened or created.

    Dagster 1.13 has ninety scripts, and reads them in about 30 ms. A new file, which has all tables, is marked as
    having had all migrations.
    """
    sql.ScriptDirectory = SimpleNamespace(from_config=_migrations)  # type: ignore[assignment, misc]
    sql.stamp = _mark_as_migrated  # type: ignore[assignment]


def _mark_as_migrated(config: "Config", revision: str) -> None:
    MigrationContext.configure(config.attributes["connection"]).stamp(_migrations(config), revision)


def execute_and_keep_nothing(
    job: "JobDefinition",
    instance: "DagsterInstance",
    *,
    partition_key: str,
    run_id: str,
    run_config: "Mapping[str, Any]",
    tags: "Mapping[str, str]",
) -> "ExecuteInProcessResult":
    """What `job.execute_in_process` does, but what a step makes is freed when the step has ended.

    That method keeps it until the end of the run: of a million rows, half a gigabyte beside the copy that each step
    reads.
    """
    return core_execute_in_process(
        job=InMemoryJob(job.as_ephemeral_job(resource_defs={}, input_values={})),
        run_config=run_config,
        instance=instance,
        output_capturing_enabled=False,
        raise_on_error=False,
        run_tags=merge_run_tags(job, partition_key, tags, None, instance, run_config),
        run_id=run_id,
        asset_selection=frozenset(),
    )


def serve_code(context: "BaseContext", options: "Sequence[str]") -> None:
    """`dagster api grpc` with these options, whose runs are processes of this context instead of new Pythons."""
    from dagster._cli.api import grpc_command
    from dagster._grpc import server

    class CodeServer(server.DagsterApiServer):
        def __init__(self, **arguments: "Any") -> None:
            super().__init__(**arguments)
            self._mp_ctx = context  # type: ignore[assignment]

    server.DagsterApiServer = CodeServer  # type: ignore[assignment, misc]
    grpc_command.main(list(options))
