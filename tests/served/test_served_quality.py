"""The asset `served_quality` and its job, on a real platform."""

import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import SERVED_QUALITY_JOB
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.partitions import WEEK as ONE_WEEK
from nhm_assets.domain.partitions import Partition
from nhm_assets.served import reference
from nhm_assets.served.reference import References
from resources.storage import FrameIOManager, RecordIOManager
from tests.support.documents import NOW, WEEK, WEEK_END, put, reviewed_opinions
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import QUIET, Platform, failed_checks, verdicts
from tests.support.served import stored_features
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
    lame = platform.with_settings(**{"mongodb_timeout_s": 0.2} if setting == "mongodb_uri" else {}, **{setting: away})
    result = measured(lame)
    assert result.success
    made = result.asset_materializations_for_node("served_quality")
    assert len(made) == (0 if setting == "nhm_storage" else 1)
    assert verdicts(result)["model_answers"] is (setting == "nhm_storage")
    if made:
        assert "cannot be reached" in made[0].metadata["not_measured"].value


def week_of_plans(platform: Platform, week: str, *, shift: float = 0.0, count: int = 200) -> None:
    """A week of opinions by version 1 on plans like those that it learned; `shift` moves risk_score, in deviations."""
    start = Partition.parse(week, "technical").week_end - ONE_WEEK
    learned = FrameIOManager(platform.settings.storage)
    frame = learned.read(learned.file_of("feedback_dataset", "technical", WEEK), "feedback_dataset")
    rows = frame[list(FEATURE_NAMES)].sample(count, replace=True, random_state=3)
    rows["risk_score"] += shift * frame["risk_score"].std()
    opinions, reviews = answered_week(start, count, version="1", seed=9)
    features = []
    for one, (_, row) in zip(opinions, rows.iterrows(), strict=True):
        values = {name: None if math.isnan(value) else value for name, value in row.items()}
        features.append(stored_features(one["plan_id"], timestamp=one["evaluated_at"].timestamp(), **values))
    store(platform.database, [(opinions, reviews)])
    platform.database["plan_features"].insert_many(features)


@pytest.mark.servers
def test_a_promoted_version_has_a_reference_and_a_later_week_is_compared_with_it(platform: Platform):
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    promoted = platform.retrain()
    assert platform.tags(promoted)["nhm/outcome"] == "promoted"
    assert failed_checks(promoted) == []
    run_id = promoted.asset_value("trained_model").run_id
    with platform.mlflow.client() as client:
        kept = {one.path for folder in ("drift", "explain") for one in client.list_artifacts(run_id, folder)}
        root = Path(urlparse(client.get_run(run_id).info.artifact_uri).path)
    assert kept == {
        "drift/reference.parquet",
        "drift/baseline.json",
        "explain/background.parquet",
        "explain/importances.json",
    }
    reference = pd.read_parquet(root / "drift/reference.parquet")
    assert list(reference.columns) == list(FEATURE_NAMES)
    assert len(pd.read_parquet(root / "explain/background.parquet")) == 100
    listed = json.loads((root / "explain/importances.json").read_text())
    assert {"feature_name", "importance", "direction"} == set(listed[0])
    document = platform.database["ml_feature_baselines"].find_one({"model_name": "technical-evaluator"})
    assert (document["version"], document["sample_count"]) == ("1", len(reference))
    assert set(document["features"]["risk_score"]) == {"values", "mean", "std", "min", "max"}

    later = platform.with_settings(nhm_now=NOW + 4 * ONE_WEEK)
    week_of_plans(later, "2026-03-22")
    still = measured(later, "2026-03-22")
    assert [name for name, passed in verdicts(still).items() if not passed and name.startswith("features")] == []
    assert not later.database["drift_monitoring"].find_one({"report_summary.week": "2026-03-22"})["drift_detected"]
    week_of_plans(later, "2026-03-29", shift=1.0)
    # A version of an earlier release has no reference yet.
    (root / "drift/baseline.json").unlink()
    moved = measured(later, "2026-03-29")
    assert not verdicts(moved)["features_stable"]
    assert (root / "drift/baseline.json").exists()
    measured(later, "2026-03-29")
    (found,) = later.database["drift_monitoring"].find({"report_summary.week": "2026-03-29"})
    assert (found["type"], found["specialist_type"], found["window_hours"]) == ("drift_detection", "technical", 168)
    assert (found["drift_detected"], found["retraining_triggered"]) == (True, True)
    assert found["drifted_features"] == ["risk_score"]
    assert later.database["ml_feature_baselines"].count_documents({}) == 1


def out_of_reach(*_: Any, **__: Any) -> None:
    raise MlflowException("API request to http://mlflow failed")


@pytest.mark.servers
def test_a_reference_is_made_again_as_long_as_a_part_was_missing(platform: Platform, monkeypatch):
    store_dataset(platform, learnable())
    assert platform.retrain(only=["trained_model"]).success
    # MongoDB refuses to write into a view.
    platform.database.create_collection("ml_feature_baselines", viewOn="model_audit_log", pipeline=[])
    warnings: list[str] = []
    with platform.mlflow.client() as client:
        references = References(client, platform.database, platform.settings, NOW, warnings.append)
        with monkeypatch.context() as patched:
            patched.setattr(reference, "served_answers", out_of_reach)
            with pytest.raises(MlflowException):
                references.of("technical-evaluator", "1")
        made = references.of("technical-evaluator", "1")
        assert set(made.answers) == {"confidence", "risk"}
        assert [text for text in warnings if text.startswith("ml_feature_baselines of")] == warnings != []
        platform.database.drop_collection("ml_feature_baselines")
        assert references.of("technical-evaluator", "1") == made
        assert platform.database["ml_feature_baselines"].count_documents({"version": "1"}) == 1
        platform.database["ml_feature_baselines"].drop()
        references.of("technical-evaluator", "1")
    assert platform.database["ml_feature_baselines"].count_documents({}) == 0, "it was stored already"
    assert len(warnings) == 1
