"""From when on the volume sensor counts feedback: the end of the newest dataset's window."""

from datetime import UTC, datetime, timedelta

from nhm_assets.domain.specialists import Specialist
from sensors.feedback_volume import last_window_end
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_dataset

TECHNICAL = Specialist("technical")


def test_without_a_dataset_there_is_no_window(platform: Platform):
    put_dataset(platform.instance, partition("2026-03-01", "business"), NOW)
    assert last_window_end(platform.instance, TECHNICAL) is None


def test_the_newest_week_counts_and_of_it_the_newest_dataset(platform: Platform):
    middle = datetime(2026, 3, 4, 7, 30, tzinfo=UTC)
    put_dataset(platform.instance, partition("2026-03-01"), middle)
    assert last_window_end(platform.instance, TECHNICAL) == middle
    put_dataset(platform.instance, partition("2026-03-01"), partition("2026-03-01").week_end)
    put_dataset(platform.instance, partition("2026-01-04"), partition("2026-01-04").week_end)
    assert last_window_end(platform.instance, TECHNICAL) == partition("2026-03-01").week_end
    later = partition("2026-03-08").week_end - timedelta(days=3)
    put_dataset(platform.instance, partition("2026-03-08"), later)
    assert last_window_end(platform.instance, TECHNICAL) == later
