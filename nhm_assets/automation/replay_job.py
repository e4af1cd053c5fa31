"""The job `replay_gate`: the gate with other settings over every recorded report; `nhm replay` does the same."""

from typing import Any, Final

from dagster import (
    Config,
    MetadataValue,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from nhm_assets.domain.dagster_names import IN_MEMORY, REPLAY_JOB
from nhm_assets.evaluation.policy_replay import as_json
from nhm_assets.evaluation.replay_request import (
    FLIP_COLUMNS,
    PRODUCTION_COLUMNS,
    ReplayRequest,
    flip_rows,
    production_rows,
    run_replay,
    summary,
)
from nhm_assets.settings import Settings

REPLAY_OP: Final = "replay_recorded_reports"


class ReplayConfig(Config):
    """What the launchpad asks for."""

    settings: dict[str, Any] = Field(description="Settings of the gate by name, such as PRECISION_THRESHOLD: 0.8.")
    since: str | None = Field(default=None, description="The first week, by its first day, YYYY-MM-DD. Default: all.")
    specialist: str | None = Field(default=None, description="One specialist. Default: all.")


@op(
    out=Out(io_manager_key=IN_MEMORY),
    name=REPLAY_OP,
    description=(
        "Judges every recorded evaluation report with other settings of the gate. Its output shows which decisions"
        " would be different, and what would be in Production now. It evaluates, moves and records nothing."
    ),
)
def replay_recorded_reports(
    context: OpExecutionContext, config: ReplayConfig, settings: ResourceParam[Settings]
) -> Output[dict[str, Any]]:
    """Replay, and show the result as tables."""
    changes = {name.upper(): str(value) for name, value in config.settings.items()}
    result = run_replay(context.instance, settings, ReplayRequest(changes, config.since, config.specialist))
    context.log.info(summary(result))
    tables = {
        "different_decisions": _table(FLIP_COLUMNS, flip_rows(result)),
        "in_production": _table(PRODUCTION_COLUMNS, production_rows(result)),
    }
    return Output(as_json(result), metadata={"summary": summary(result), **tables})


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> TableMetadataValue:
    """A table of texts for the UI."""
    records = [TableRecord(dict(zip(columns, row, strict=True))) for row in rows]
    return MetadataValue.table(records, schema=TableSchema([TableColumn(name) for name in columns]))


@job(
    name=REPLAY_JOB,
    executor_def=in_process_executor,
    tags={"dagster/retry_on_asset_or_op_failure": "false"},
    description="Shows which decisions of the gate would be different with other settings. It moves nothing.",
)
def replay_gate() -> None:
    """A job with one op."""
    replay_recorded_reports()
