"""The code location with its real job, schedule and sensors, whose assets and checks do no work.

Its clock is the content of the file `now` in NHM_HOME. The weekly schedule is due at the times in SIMULATED_SUNDAYS,
once for each week: Dagster goes on with the last tick of a schedule only if no other is due by then.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetsDefinition,
    Definitions,
    MaterializeResult,
    ResourceDefinition,
    in_process_executor,
    multi_asset,
    multi_asset_check,
)

from nhm_assets.automation.retraining_job import retraining_job
from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.asset_keys import FEEDBACK_DATASET, PROMOTED_VERSION
from nhm_assets.domain.dagster_names import SCHEDULE
from nhm_assets.domain.outcomes import OUTCOME_TAG, Outcome
from nhm_assets.domain.partitions import Partition
from nhm_assets.settings import Settings


def clocked_settings() -> Settings:
    """The settings, with the time of the simulation."""
    settings = Settings.load()
    now = (settings.nhm_home / "now").read_text()
    return settings.model_copy(update={"nhm_now": datetime.fromisoformat(now)})


def _idle_asset(real: AssetsDefinition) -> AssetsDefinition:
    checks = list(real.check_specs)

    @multi_asset(name=real.op.name, specs=list(real.specs), check_specs=checks)
    def idle(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        partition, metadata = Partition.from_key(context.partition_key), {}
        if real.key == FEEDBACK_DATASET:
            window = partition.window(days=30, now=clocked_settings().now())
            metadata["window"] = [window.start.isoformat(), window.end.isoformat()]
        if real.key == PROMOTED_VERSION:
            context.instance.add_run_tags(context.run.run_id, {OUTCOME_TAG: str(Outcome.PROMOTED)})
        passed = [AssetCheckResult(passed=True, check_name=spec.name) for spec in checks]
        yield MaterializeResult(real.key, metadata=metadata, check_results=passed)

    return idle


def _idle_checks(real: AssetChecksDefinition) -> AssetChecksDefinition:
    @multi_asset_check(name=real.op.name, specs=list(real.check_specs))
    def idle() -> Iterator[AssetCheckResult]:
        for spec in real.check_specs:
            yield AssetCheckResult(passed=True, asset_key=spec.asset_key, check_name=spec.name)

    return idle


def _idle(real: Definitions) -> Definitions:
    settings = Settings.load()
    return Definitions(
        assets=[_idle_asset(one) if isinstance(one, AssetsDefinition) else one for one in real.assets or ()],
        asset_checks=[_idle_checks(one) for one in real.asset_checks or () if isinstance(one, AssetChecksDefinition)],
        jobs=[retraining_job(settings, in_process_executor)],
        schedules=[weekly_schedule(json.loads(os.environ["SIMULATED_SUNDAYS"]))],
        sensors=real.sensors,
        executor=in_process_executor,
        resources={**(real.resources or {}), "settings": ResourceDefinition(lambda _: clocked_settings())},
    )


defs = _idle(build_definitions(Settings.load()))
assert defs.resolve_schedule_def(SCHEDULE)
