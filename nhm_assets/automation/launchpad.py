"""What the launchpad shows of a job with one form: fields with descriptions and choices, and what it refuses.

Dagster checks types and choices while somebody types. What else is wrong with a request is refused when it is
launched, before a run exists.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dagster import Enum, EnumValue, Field, Noneable, OpDefinition, Permissive

Config = dict[str, Any]
FORM = Permissive()
"""Configuration of an op behind a form: what the form gives it."""


def choice(name: str, values: Sequence[str], description: str) -> Field:
    """A required field that takes one of these values.

    Args:
        name: of the kind of value; unique among all jobs, unless the values are the same.
        values: to choose from.
        description: for the person who launches.
    """
    return Field(Enum(name, [EnumValue(value) for value in values]), description=description)


def optional_choice(name: str, values: Sequence[str], description: str) -> Field:
    """The same, but it may be left out."""
    kind = Enum(name, [EnumValue(value) for value in values])
    return Field(Noneable(kind), default_value=None, is_required=False, description=description)


def optional_text(description: str) -> Field:
    """A text that may be left out."""
    return Field(Noneable(str), default_value=None, is_required=False, description=description)


def with_form(op: OpDefinition, name: str, fields: Mapping[str, Field], check: Callable[[Config], Config]) -> Any:
    """The op with a form in the launchpad.

    Args:
        op: whose configuration is `FORM`.
        name: of the op in the job.
        fields: of the form.
        check: returns the configuration of the op. What it raises refuses the launch.
    """
    return op.configured(check, name=name, config_schema=dict(fields), description=op.description)
