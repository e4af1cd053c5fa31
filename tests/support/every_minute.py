"""The code location with its weekly schedule moved to the next minute, and every one after that."""

from dagster import Definitions

from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import SCHEDULE
from nhm_assets.settings import Settings


def _moved(product: Definitions) -> Definitions:
    others = [one for one in product.schedules or () if one.name != SCHEDULE]
    return Definitions(
        assets=product.assets,
        asset_checks=product.asset_checks,
        jobs=product.jobs,
        schedules=[*others, weekly_schedule("* * * * *")],
        sensors=product.sensors,
        executor=product.executor,
        resources=product.resources,
    )


defs = _moved(build_definitions(Settings.load()))
