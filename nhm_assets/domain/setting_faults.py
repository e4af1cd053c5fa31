"""What people are told about values of settings that cannot be used."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST: Final = 60
"""Characters of a value that are shown."""
_NO_PASSWORD: Final = re.compile(r"[A-Za-z_ .:/{}-]*|[^A-SU-Ya-z@]*|[^@]{0,8}")
"""Words, addresses without digits, numbers and times, and what is too short for a password."""
_WORDS: Final = {
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "too_short": "a list with at least {min_length} entry",
    "string_pattern_mismatch": "an amount in Kubernetes notation, such as 500m, 2 or 2Gi",
    "string_type": "text",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "list_type": "a JSON list",
    "tuple_type": "a JSON list",
}
"""What a value must be, by pydantic's name of the fault."""
TIME: Final = "must be an ISO time, such as 2026-11-22T02:00:00Z"


def faults_in(error: "ValidationError", secret: Collection[str]) -> str:
    """All faults in one line: each with its variable, what the value must be, and the value.

    Args:
        error: of the settings' model.
        secret: names of settings whose values are never shown.
    """
    return "; ".join(_faults(error, secret))


def but_is(value: object, *, secret: bool = False) -> str:
    """The end of a sentence that shows the value. One that may be a password, put into a wrong line, is not shown."""
    shown = repr(value)[:_MOST]
    return "" if secret or (isinstance(value, str) and not _NO_PASSWORD.fullmatch(value)) else f", but is {shown}"


def _faults(error: "ValidationError", secret: Collection[str]) -> Iterator[str]:
    for fault in error.errors():
        name, *within = map(str, fault["loc"] or ("the environment",))
        where = f"{'.'.join(within)} " if within else ""
        must = _must(fault["type"], fault.get("ctx", {}))
        value = but_is(fault["input"], secret=name in secret) if must.startswith("must ") else ""
        yield f"{name.upper()}: {where}{must}{value}"


def _must(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return "is an unknown key"
    if kind.startswith("datetime"):
        return TIME
    return f"must be {_WORDS[kind].format(**context)}" if kind in _WORDS else "cannot be used"
