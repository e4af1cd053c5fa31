"""The code location with a weekly schedule that is due every minute."""

from dagster import Definitions

from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import SCHEDULE
from nhm_assets.settings import Settings


def _with_schedule_every_minute(product: Definitions) -> Definitions:
    others = [schedule for schedule in product.schedules or () if schedule.name != SCHEDULE]
    return Definitions(
        assets=product.assets,
        asset_checks=product.asset_checks,
        jobs=product.jobs,
        schedules=[*others, weekly_schedule("* * * * *")],
        sensors=product.sensors,
        executor=product.executor,
        resources=product.resources,
    )


defs = _with_schedule_every_minute(build_definitions(Settings.load()))
