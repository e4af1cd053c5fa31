"""A code location with a job that takes a second, for tests of run launchers."""

import time

from dagster import Definitions, job, op


@op
def wait_a_second() -> None:
    time.sleep(1)


@job
def short() -> None:
    wait_a_second()


defs = Definitions(jobs=[short])
