"""What is read of recorded evaluations, for a replay."""

from dagster import DagsterInstance

from nhm_assets.domain.partitions import Partition
from nhm_assets.evaluation.recorded_reports import Recorded, recorded_evaluations
from tests.support.documents import WEEK
from tests.support.planned_runs import planned_run


def test_runs_that_have_not_evaluated_yet_are_left_out():
    with DagsterInstance.ephemeral() as instance:
        planned_run(instance, Partition.parse(WEEK, "technical"))
        assert recorded_evaluations(instance) == Recorded([], [], 0)
