"""The job `replay_gate`: the gate with other settings over every recorded report; `nhm replay` does the same."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin

from dagster import (
    Enum,
    EnumValue,
    Field,
    JobDefinition,
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

from nhm_assets.automation.launchpad import FORM, optional_choice, optional_text, with_form
from nhm_assets.domain.dagster_names import IN_MEMORY, REPLAY_JOB
from nhm_assets.evaluation.policy_replay import as_json
from nhm_assets.evaluation.replay_request import (
    FLIP_COLUMNS,
    PRODUCTION_COLUMNS,
    ReplayRequest,
    flip_rows,
    gate_settings,
    production_rows,
    require_week,
    run_replay,
    summary,
    with_changes,
)
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.settings import Settings

REPLAY_OP: Final = "replay_recorded_reports"
_KINDS: Final = {float: float, int: int, bool: bool}
"""Types that the launchpad checks itself."""


def fields_of(settings: Settings, specialists: Sequence[str]) -> dict[str, Field]:
    """What the launchpad asks for: the gate's settings with their values of today, a week and a specialist."""
    return {
        "settings": Field(
            {name: _setting(settings, name) for name in gate_settings()},
            description="Settings of the gate, with today's values: change those that you want to try.",
        ),
        "since": optional_text("The first week, by its first day, YYYY-MM-DD. Default: all weeks."),
        "specialist": optional_choice("Specialist", specialists, "One specialist. Default: all."),
    }


def _setting(settings: Settings, name: str) -> Field:
    described = Settings.model_fields[name.lower()]
    value = getattr(settings, name.lower())
    choices = get_args(described.annotation) if get_origin(described.annotation) is Literal else ()
    kind = Enum(name, [EnumValue(one) for one in choices]) if choices else _KINDS.get(type(value), str)
    return Field(kind, default_value=value, is_required=False, description=described.description)


def checked(settings: Settings, config: dict[str, Any]) -> dict[str, Any]:
    """The request, with only those settings that differ from today's.

    Raises:
        UsageError: nothing differs, or a value or the week is unusable.
    """
    today = settings.model_dump()
    changes = {name: str(value) for name, value in config["settings"].items() if value != today[name.lower()]}
    with_changes(settings, changes)
    require_week(config["since"], config["specialist"])
    return {**config, "settings": changes}


@op(
    out=Out(io_manager_key=IN_MEMORY),
    config_schema=FORM,
    description=(
        "Judges every recorded evaluation report with other settings of the gate. Its output shows which decisions"
        " would be different, and what would be in Production now. It evaluates, moves and records nothing."
    ),
)
def replay_reports(context: OpExecutionContext, settings: ResourceParam[Settings]) -> Output[dict[str, Any]]:
    """Replay, and show the result as tables and as JSON."""
    asked = context.op_config
    request = ReplayRequest(asked["settings"], asked["since"], asked["specialist"])
    result = run_replay(context.instance, settings, request)
    context.log.info(summary(result))
    content = as_json(result)
    shown = {
        "different_decisions": _table(FLIP_COLUMNS, flip_rows(result)),
        "in_production": _table(PRODUCTION_COLUMNS, production_rows(result)),
        # The decisions that stay as they are would fill the page.
        "json": MetadataValue.json({name: value for name, value in content.items() if name != "decisions"}),
    }
    return Output(content, metadata={"summary": summary(result), **shown})


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> TableMetadataValue:
    """A table of texts for the UI."""
    records = [TableRecord(dict(zip(columns, row, strict=True))) for row in rows]
    return MetadataValue.table(records, schema=TableSchema([TableColumn(name) for name in columns]))


def replay_job(settings: Settings, specialists: Sequence[str]) -> JobDefinition:
    """The job `replay_gate`, whose form shows these settings."""
    form = with_form(replay_reports, REPLAY_OP, fields_of(settings, specialists), partial(checked, settings))
    today = {name: getattr(settings, name.lower()) for name in gate_settings()}

    @job(
        name=REPLAY_JOB,
        hooks={tag_broken_run},
        executor_def=in_process_executor,
        config={"ops": {REPLAY_OP: {"config": {"settings": today}}}},
        tags={"dagster/retry_on_asset_or_op_failure": "false"},
        description="Shows which decisions of the gate would be different with other settings. It moves nothing.",
    )
    def replay_gate() -> None:
        form()

    return replay_gate
