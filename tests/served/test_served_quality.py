"""The asset `served_quality` and its job, on a real platform."""

import pytest

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import SERVED_QUALITY_JOB
from nhm_assets.domain.partitions import WEEK as ONE_WEEK
from nhm_assets.domain.partitions import Partition
from resources.storage import RecordIOManager
from tests.support.documents import WEEK, WEEK_END
from tests.support.platform import QUIET, Platform, verdicts
from tests.support.served_weeks import answered_week, promotion, store

START = WEEK_END - ONE_WEEK


def measured(platform: Platform, week: str = WEEK):
    job = build_definitions(platform.settings).resolve_job_def(SERVED_QUALITY_JOB)
    return job.execute_in_process(
        partition_key=Partition.parse(week, "technical").key,
        instance=platform.instance,
        raise_on_error=False,
        run_config=QUIET,
    )


def test_the_job_measures_a_week_and_decides_nothing(platform: Platform):
    store(platform.database, [answered_week(START, 60, version="1")], [promotion("1", START - ONE_WEEK)])
    result = measured(platform)
    assert result.success
    assert set(verdicts(result)) >= {"agrees_with_people", "model_answers"}
    (made,) = result.asset_materializations_for_node("served_quality")
    assert made.metadata["opinions"].value == 60
    assert made.metadata["reviewed"].value == 60
    assert "| 1 | 60 |" in made.metadata["agreement"].value
    assert "nhm/outcome" not in platform.tags(result)
    again = measured(platform)
    assert again.asset_value("served_quality") == result.asset_value("served_quality")
    assert len(RecordIOManager(platform.settings.storage).files_of("served_quality", "technical", WEEK)) == 1


@pytest.mark.parametrize("setting", ["mongodb_uri", "nhm_storage"])
def test_no_service_breaks_it(platform: Platform, setting: str, tmp_path):
    (tmp_path / "file").write_text("no folder")
    away = {"mongodb_uri": "mongodb://127.0.0.1:9/", "nhm_storage": str(tmp_path / "file")}[setting]
    lame = platform.with_settings(mongodb_timeout_s=0.2, **{setting: away})
    result = measured(lame)
    assert result.success
    made = result.asset_materializations_for_node("served_quality")
    assert len(made) == (0 if setting == "nhm_storage" else 1)
    assert verdicts(result)["model_answers"] is (setting == "nhm_storage")
    if made:
        assert "cannot be reached" in made[0].metadata["not_measured"].value
