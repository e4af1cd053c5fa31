"""The code location as a daemon loads it in this process. Its clock and its addresses are read again at each tick.

Schedule and sensors are the real ones. No run is executed, so the job has one asset, which keeps planning fast.
"""

from dagster import Definitions, ResourceDefinition, define_asset_job

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB, SCHEDULE, VOLUME_SENSOR
from nhm_assets.feedback.assets import feedback_dataset
from nhm_assets.resource_factories import mongo_of
from nhm_assets.settings import Settings
from nhm_assets.steps.partitions import specialist_weeks

_whole = build_definitions(Settings())
SENSORS = [sensor.name for sensor in _whole.sensors or ()]


def _with_sensors(names: list[str]) -> Definitions:
    return Definitions(
        assets=[feedback_dataset],
        jobs=[define_asset_job(JOB, selection=[feedback_dataset], partitions_def=specialist_weeks)],
        schedules=[_whole.resolve_schedule_def(SCHEDULE)],
        sensors=[_whole.resolve_sensor_def(name) for name in names],
        resources={
            **(_whole.resources or {}),
            "settings": ResourceDefinition(lambda _: Settings.load()),
            "mongo": ResourceDefinition(lambda _: mongo_of(Settings.load())),
        },
    )


defs = _with_sensors([VOLUME_SENSOR])
all_sensors = _with_sensors(SENSORS)
