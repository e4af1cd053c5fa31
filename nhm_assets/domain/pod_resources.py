"""Amounts of CPU and memory for the pods of runs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""A quantity in Kubernetes notation: 500m, 2, 1Gi."""


class PodResources(BaseModel):
    """Resources of the pods that retrain one specialist. None: the setting for all specialists applies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_request: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory: Quantity | None = None
