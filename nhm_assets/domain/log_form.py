"""The two forms of a log line: JSON for a log store, text for people. Fields as in Dagster's `--log-format json`."""

import logging
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final

Line = MutableMapping[str, Any]
Step = Callable[[Any, str, Line], Line]
"""Changes the fields of a line: a processor of structlog. `line["_record"]` is the record of `logging`."""
_FIRST: Final = ("timestamp", "level", "event")


def formatter(form: str, steps: Sequence[Step] = (), *, colors: bool | None = None) -> logging.Formatter:
    """A formatter for handlers of `logging`.

    Args:
        form: `json` or `console`.
        steps: change the fields of each line.
        colors: whether text has colors; by default, on a terminal.
    """
    import structlog

    stdlib, processors = structlog.stdlib, structlog.processors
    if form == "json":
        renderer: Callable[..., Any] = processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() if colors is None else colors,
            exception_formatter=structlog.dev.plain_traceback,
        )
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            stdlib.add_logger_name,
            stdlib.add_log_level,
            processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            processors.format_exc_info,
            *steps,
            stdlib.ProcessorFormatter.remove_processors_meta,
            _ordered,
            renderer,
        ],
    )


def json_lines() -> logging.Formatter:
    """For programs that take their logging from a file, such as the MLflow server."""
    return formatter("json")


def _ordered(_: object, __: str, line: Line) -> Line:
    return {name: line[name] for name in _FIRST if name in line} | dict(line)
