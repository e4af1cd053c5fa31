"""What we take from inside Dagster does what its docstring says."""

import gc
import weakref

import pytest
from dagster import AssetKey, DagsterInstance, Definitions, IOManager, asset, define_asset_job

from nhm_assets.domain.dagster_internals import execute_and_keep_nothing
from nhm_assets.steps.partitions import specialist_weeks


class Rows:
    """Something large that an asset makes."""


class Stored(IOManager):
    """Stores nothing, and remembers which objects it was given."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Rows]] = []

    def handle_output(self, context, obj) -> None:  # noqa: ARG002
        self.seen.append(weakref.ref(obj))

    def load_input(self, context) -> Rows:  # noqa: ARG002
        return Rows()


@pytest.mark.parametrize("tags", [{}, {"nhm/actor": "someone"}])
def test_what_a_step_makes_is_freed_before_the_next_one_and_the_run_is_recorded(tags):
    stored, alive = Stored(), []

    @asset(partitions_def=specialist_weeks)
    def made() -> Rows:
        return Rows()

    @asset(partitions_def=specialist_weeks)
    def used(made: Rows) -> Rows:
        gc.collect()
        alive.append(stored.seen[0]())
        return made

    job = define_asset_job("small", [made, used])
    definitions = Definitions([made, used], jobs=[job], resources={"io_manager": stored})
    with DagsterInstance.ephemeral() as instance:
        key = specialist_weeks.get_first_partition_key()
        result = execute_and_keep_nothing(
            definitions.resolve_job_def("small"),
            instance,
            partition_key=key,
            run_id="5f0e2f4e-0000-4000-8000-000000000001",
            run_config={},
            tags=tags,
        )
        run = instance.get_run_by_id(result.run_id)
    assert result.success
    assert alive == [None]
    assert run
    assert run.tags.items() >= {"dagster/partition": key, **tags}.items()
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [
        AssetKey("made"),
        AssetKey("used"),
    ]
