"""What the launchpad shows of a job with one form: fields with descriptions and choices, and what it refuses.

Dagster checks types and choices while somebody types. What else is wrong with a request is refused when it is
launched, before a run exists.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster import (
    Enum,
    EnumValue,
    Field,
    Noneable,
    OpDefinition,
    PartitionedConfig,
    PartitionsDefinition,
    Permissive,
    StaticPartitionsDefinition,
)

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.partitions import parse_specialist
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

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


def prefilled(
    settings: Settings,
    specialists: Sequence[str],
    op: str,
    read: Callable[["MlflowClient", str], Config],
    known: Mapping[str, Any] | None = None,
) -> PartitionedConfig[PartitionsDefinition[str]]:
    """The configuration of a job whose partitions are the specialists: choosing one fills in the form.

    Args:
        settings: say where MLflow is.
        specialists: to choose from.
        op: name of the op behind the form.
        read: client and name of the registered model -> fields with what the registry says. They are missing if MLflow
            does not answer.
        known: fields whose values are known without it.
    """

    def form(specialist: str) -> Config:
        model = parse_specialist(specialist).registered_model
        filled = {"specialist": specialist, **(known or {})}
        try:
            with mlflow_of(settings).client() as client:
                filled |= read(client, model)
        except (ServiceError, RegistryError) as error:
            logging.getLogger(__name__).warning("the launchpad shows no versions of %s: %s", model, error)
        return {"ops": {op: {"config": filled}}}

    return PartitionedConfig(
        partitions_def=StaticPartitionsDefinition(list(specialists)), run_config_for_partition_key_fn=form
    )
