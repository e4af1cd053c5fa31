"""Every private name of Dagster that the benchmarks use beside those of the product."""

from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

__all__ = ["InMemoryJob", "execute_run_iterator"]
