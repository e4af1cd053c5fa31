"""The partitions of every asset and check: week x specialist, as the settings of this process say."""

from dagster import MultiPartitionsDefinition

from nhm_assets.domain.partitions import first_week, specialist_weeks_of
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings


def _of(settings: Settings) -> MultiPartitionsDefinition:
    return specialist_weeks_of(all_specialists(), first_week(settings.now(), settings.keep_weeks, settings.first_week))


# Assets name their partitions when they are imported.
specialist_weeks = _of(Settings.load())
