"""The form of log lines (LOG_FORMAT): JSON or text, with the run that a line belongs to, and without secrets.

Dagster prints the lines of a run through its console logger, which `console_logger` replaces, and those of sensors and
schedules through another one, which `tick_logger` replaces. MLflow's and all other lines reach the root logger, and get
the same form by `show_lines`. The names of the fields are those of Dagster's `--log-format json`, so the lines of its
daemon and its webserver fit.
"""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dagster import DagsterEventType

from nhm_assets.domain import log_form
from nhm_assets.domain.dagster_internals import (
    replace_console_logger,
    replace_tick_logger,
    warn_only_of_steps_that_proceed,
)
from nhm_assets.domain.log_form import Line
from nhm_assets.runs.log_secrets import Mask
from nhm_assets.runs.tags import SPECIALIST_TAG, WEEK_TAG
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterEvent, InitLoggerContext

Meta = Mapping[str, Any]

_ENDS: Final = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}
_OWN_LEVELS: Final = ("nhm_assets", "resources", "sensors", "mlflow")
"""Loggers whose INFO lines are shown; others show warnings."""
_OWN_HANDLERS: Final = ("mlflow", "alembic", "sqlalchemy.engine", "huey")
"""Loggers to which MLflow gives a handler of its own."""
_run: dict[str, str] = {}
"""The run that this process executes, for lines of libraries that know nothing of it. Empty in other processes."""


def name_version(version: str) -> None:
    """From now on, the lines of the run in this process name the version of the model."""
    _run["version"] = version


class StandardError(logging.Handler):
    """Writes to what is the standard error now; Dagster replaces it while it captures the output of a step."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler of `logging` does
            self.handleError(record)


def use_log_format(settings: Settings) -> None:
    """Make all runs and ticks that this process executes print their lines in the form of the settings.

    With JSON, every other line of the process gets that form at once. A terminal keeps its plain sentences.
    """
    replace_console_logger(lambda context: console_logger(context, settings))
    replace_tick_logger(lambda: tick_logger(settings))
    warn_only_of_steps_that_proceed()
    if settings.log_format == "json":
        show_lines(settings)


def console_logger(context: "InitLoggerContext", settings: Settings) -> logging.Logger:
    """The logger of one run."""
    configured = context.logger_config or {}
    level = logging.getLevelName(str(configured.get("log_level", "INFO")).upper())
    logger = logging.getLoggerClass()(configured.get("name", "dagster"), level=level)
    logger.addHandler(_handler(settings))
    if level < logging.CRITICAL:
        show_lines(settings)
    return logger


def tick_logger(settings: Settings) -> logging.Logger:
    """The logger of one tick of a sensor or a schedule."""
    logger = logging.getLoggerClass()("dagster", level=logging.INFO)
    logger.addHandler(_handler(settings))
    return logger


def show_lines(settings: Settings) -> None:
    """Give the lines of all libraries the form of the settings, instead of the forms that they choose themselves."""
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, StandardError)]:
        root.removeHandler(earlier)
    handler = _handler(settings)
    handler.setLevel(logging.INFO)
    handler.addFilter(_is_printed_here)
    root.addHandler(handler)
    for name in _OWN_LEVELS:
        logging.getLogger(name).setLevel(logging.INFO)
    # MLflow reads it while it is imported.
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    for name in _OWN_HANDLERS if "mlflow" in sys.modules else ():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for of_dagster in logging.getLogger("dagster").handlers:
        of_dagster.setFormatter(formatter(settings))
    warnings.showwarning = _show_warning  # type: ignore[assignment]


def _is_printed_here(record: logging.LogRecord) -> bool:
    """Not if Dagster prints it: the lines of runs, and in its own programs all of its lines."""
    of_dagster = record.name.partition(".")[0] == "dagster" and bool(logging.getLogger("dagster").handlers)
    return not of_dagster and not hasattr(record, "dagster_meta")


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Where a library warns is for developers; what it says is for everybody."""
    logging.getLogger("py.warnings").warning("%s: %s", category.__name__, message)


def _handler(settings: Settings) -> logging.Handler:
    handler = StandardError()
    handler.setFormatter(formatter(settings))
    return handler


def formatter(settings: Settings, *, colors: bool | None = None) -> logging.Formatter:
    """The formatter of LOG_FORMAT, which names the run and hides secrets."""
    return log_form.formatter(settings.log_format, [_with_run, Mask.of(settings)], colors=colors)


def _with_run(_: object, __: str, line: Line) -> Line:
    """Add the run that the line belongs to; the line of Dagster that ends it is the last one."""
    meta: Meta | None = getattr(line["_record"], "dagster_meta", None)
    if meta is None or not meta.get("run_id"):
        if meta is not None and "name" in meta:
            # Of a sensor or a schedule: Dagster puts the name of the repository before it.
            line.update(event=f"{meta['name']}: {meta['orig_message']}")
        line.update(_run if "run_id" in _run else {})
        return line
    if meta["run_id"] != _run.get("run_id"):
        _run.clear()
    tags = meta["job_tags"]
    known = {"run_id": meta["run_id"], "specialist": tags.get(SPECIALIST_TAG), "week": tags.get(WEEK_TAG)}
    _run.update({name: str(value) for name, value in known.items() if value})
    line.update(event=meta["orig_message"], **_run)
    line.update({name: meta[key] for name, key in (("job", "job_name"), ("step", "step_key")) if meta.get(key)})
    event: DagsterEvent | None = meta.get("dagster_event")
    if event is not None:
        line.update(_of_event(event))
        if event.event_type in _ENDS:
            _run.clear()
    return line


def _of_event(event: "DagsterEvent") -> dict[str, str]:
    error = getattr(event.event_specific_data, "error", None)
    said = {"dagster_event": event.event_type_value}
    if error is not None:
        said["exception"] = getattr(event.event_specific_data, "error_display_string", None) or error.to_string()
    return said
