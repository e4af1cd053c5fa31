"""`feedback_dataset` and its checks, in runs of the job."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from bson.datetime_ms import DatetimeMS
from dagster import (
    AssetKey,
    ExecuteInProcessResult,
    JsonMetadataValue,
)

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dataset_schema import conform, data_version
from nhm_assets.feedback.dataset_rules import DESCRIPTIONS
from nhm_assets.feedback.features import EXTRACTOR
from resources.storage import FrameIOManager
from tests.support.datasets import DATASET, fill, made, metadata
from tests.support.documents import WEEK, WEEK_END, feedback, put, reviewed_opinions
from tests.support.platform import Platform, failed_checks, verdicts

pytestmark = pytest.mark.servers

PARTITION = f"technical|{WEEK}"


def version(result: ExecuteInProcessResult) -> str:
    return (made(result).tags or {})["dagster/data_version"]


def stored_file(platform: Platform) -> Path:
    return Path(str(FrameIOManager(platform.settings.storage).file_of("feedback_dataset", "technical", WEEK)))


def materialized(platform: Platform, asset: str) -> int:
    return len(platform.instance.fetch_materializations(AssetKey(asset), limit=10).records)


def test_a_run_stores_the_rows_and_describes_them(platform: Platform):
    fill(platform)
    result = platform.retrain(only=DATASET)
    assert result.success
    assert list(verdicts(result)) == list(DESCRIPTIONS)
    assert failed_checks(result) == []
    frame = pd.read_parquet(stored_file(platform))
    shown = metadata(result)
    assert len(frame) == shown["dagster/row_count"] == shown["real_rows"] == 300
    assert shown["quarantined"] == {"invalid_rating": 1, "unknown_opinion": 1}
    assert shown["splits"] == {"test": 45, "train": 210, "validation": 45}
    assert sum(shown["labels"].values()) == 300
    assert set(shown["labels"]) == {"approve", "reject", "review_required"}
    assert datetime.fromtimestamp(shown["window_end"], UTC) == WEEK_END
    kinds = {name: type(entry) for name, entry in made(result).metadata.items()}
    assert JsonMetadataValue not in kinds.values(), kinds
    assert str(platform.settings.nhm_home) not in str(made(result).metadata)
    assert shown["data_source"] == "real"
    assert shown["features_written_back"] == 300
    assert shown["read_as_of"].startswith("20")


def test_the_quarantine_names_partition_and_run(platform: Platform):
    fill(platform, 10)
    result = platform.retrain(only=DATASET)
    kept = list(platform.database.feedback_quarantine.find())
    assert {one["document"]["feedback_id"]: one["reason"] for one in kept} == {
        "feedback-lost": "unknown_opinion",
        "feedback-odd": "invalid_rating",
    }
    assert {(one["partition"], one["dagster_run_id"]) for one in kept} == {(PARTITION, result.run_id)}


def test_the_collections_and_the_quarantine_show_what_the_run_saw(platform: Platform):
    fill(platform, 10)
    platform.database.specialist_feedback.drop_indexes()
    result = platform.retrain(only=DATASET)
    seen = platform.observed("specialist_feedback")
    assert seen["documents"] == 12
    assert "newest_feedback" not in seen, "without the index it takes a look at all feedback"
    assert "createIndex({specialist_type: 1, submitted_at: 1})" in seen["indexes"]
    assert platform.observed("specialist_opinions")["documents"] == 10
    assert platform.observed("plan_features") == {"collection": "plan_features", "documents": 10, "indexes": "complete"}
    kept = made(result, "feedback_quarantine")
    assert kept.partition == PARTITION
    assert kept.metadata["documents"].value == 2
    assert [(one.data["reason"], one.data["documents"]) for one in kept.metadata["reasons"].records] == [
        ("invalid_rating", 1),
        ("unknown_opinion", 1),
    ]


def test_the_newest_feedback_of_each_specialist_is_shown(platform: Platform):
    """Some programs store times as strings, which MongoDB sorts apart from dates."""
    fill(platform, 10)
    put(
        platform.database,
        feedback=[
            feedback("text", submitted_at="2026-03-09T10:20:00Z"),
            feedback("other", specialist="business", submitted_at=datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ],
    )
    assert platform.retrain(only=DATASET).success
    records = platform.observed("specialist_feedback")["newest_feedback"]
    assert {one.data["specialist"]: one.data["newest feedback (UTC)"] for one in records} == {
        "technical": "2026-03-09 10:20",
        "business": "2026-03-02 08:00",
    }


def test_dates_that_python_cannot_hold_are_kept_in_quarantine(platform: Platform):
    far = DatetimeMS(2**55)
    put(platform.database, feedback=[feedback("far", metadata={"until": far})])
    assert metadata(platform.retrain(only=DATASET))["quarantined"] == {"unknown_opinion": 1}
    assert platform.database.feedback_quarantine.count_documents({"document.metadata.until": far}) == 1


def test_a_second_run_gives_the_same_bytes_and_no_duplicates(platform: Platform):
    """Even though the first run stored the features of every plan in MongoDB."""
    fill(platform)
    first = platform.retrain(only=DATASET)
    before = stored_file(platform).read_bytes()
    second = platform.retrain(only=DATASET)
    assert version(second) == version(first)
    assert stored_file(platform).read_bytes() == before
    assert metadata(second)["features_written_back"] == 0
    assert platform.database.plan_features.count_documents({"extractor": EXTRACTOR}) == 300
    kept = list(platform.database.feedback_quarantine.find())
    assert [one["dagster_run_id"] for one in kept] == [second.run_id] * 2


def test_other_feedback_gives_another_version(platform: Platform):
    fill(platform)
    first = platform.retrain(only=DATASET)
    platform.database.specialist_feedback.update_one(
        {"human_recommendation": "approve"}, {"$set": {"human_recommendation": "reject"}}
    )
    assert version(platform.retrain(only=DATASET)) != version(first)


@pytest.mark.parametrize(
    ("documents", "settings", "missing"),
    [
        pytest.param({"count": 299}, {}, ["enough_samples"], id="one row too few"),
        pytest.param({"recommendations": ["approve"]}, {}, ["class_coverage"], id="all approve"),
        pytest.param({"recommendations": ["reject", "review_required"]}, {}, ["class_coverage"], id="no approve"),
        pytest.param(
            {"count": 0},
            {"environment": "production", "allow_synthetic_fallback": "auto"},
            ["enough_samples", "class_coverage"],
            id="no feedback in production",
        ),
    ],
)
def test_too_little_evidence_is_an_outcome_of_a_green_run_and_nothing_is_trained(
    platform: Platform, documents: dict, settings: dict, missing: list[str]
):
    fill(platform, **documents)
    platform = platform.with_settings(**settings)
    result = platform.retrain()
    assert result.success
    evidence = [check for check in failed_checks(result) if check not in ("feedback_fresh", "few_rejected_documents")]
    assert evidence == missing
    assert platform.tags(result)["nhm/outcome"] == "insufficient_data"
    assert "nhm/held_by" not in platform.tags(result)
    descriptions = {one.check_name: reason_in(one.description) for one in result.get_asset_check_evaluations()}
    assert platform.tags(result)["nhm/reason"] == " ".join(descriptions[check] for check in missing)
    assert materialized(platform, "feedback_dataset") == 1
    assert materialized(platform, "trained_model") == 0
    with platform.mlflow.client() as client:
        assert list(client.search_registered_models()) == []


def test_a_good_dataset_is_trained_on(platform: Platform):
    fill(platform)
    result = platform.retrain(only=["feedback_dataset", "trained_model"])
    assert result.success
    assert materialized(platform, "trained_model") == 1


def test_the_rows_that_a_version_learned_from_can_be_read_after_the_week_ran_again(platform: Platform):
    """Its MLflow run names their file; a re-run of the week on other feedback leaves that file alone."""
    fill(platform)
    assert platform.retrain(only=["feedback_dataset", "trained_model"]).success
    platform.database.specialist_feedback.update_many({}, {"$set": {"human_rating": 0.123}})
    assert platform.retrain(only=DATASET).success
    with platform.mlflow.client() as client:
        (version_,) = client.search_model_versions("name='technical-evaluator'")
        (logged,) = client.get_run(version_.run_id).inputs.dataset_inputs
    learned = pd.read_parquet(json.loads(logged.dataset.source)["uri"])
    assert data_version(conform(learned)) == version_.tags["nhm.data_version"]
    assert stored_file(platform) != Path(json.loads(logged.dataset.source)["uri"])


def test_feedback_by_scripts_is_counted_and_left_out(platform: Platform):
    fill(platform)
    put(platform.database, feedback=[feedback(f"s-{number}", auto_generated=True) for number in range(400)])
    result = platform.retrain(only=DATASET)
    shown = metadata(result)
    assert (shown["real_rows"], shown["scripted"], shown["provenance"]) == (300, 400, {"reviewer": 300})
    assert shown["quarantined"] == {"invalid_rating": 1, "unknown_opinion": 1}
    assert failed_checks(result) == ["human_feedback"]


def test_production_holds_a_candidate_that_learned_from_scripts(platform: Platform):
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=[{**one, "auto_generated": True} for one in reviews[:100]])
    put(platform.database, feedback=reviews[100:])
    included = platform.with_settings(include_scripted_feedback=True, environment="production")
    result = included.retrain()
    assert included.tags(result)["nhm/outcome"] == "held"
    assert included.tags(result)["nhm/held_by"] == "data_source_allowed"


def test_too_few_rows_say_how_many_are_required_and_what_to_do(platform: Platform):
    fill(platform, 7)
    result = platform.retrain(only=DATASET)
    assert result.success
    (reason,) = [one.description for one in result.get_asset_check_evaluations() if one.check_name == "enough_samples"]
    assert "Too few samples: 7 rows, 293 fewer than the required 300" in reason
    assert "ALLOW_SYNTHETIC_FALLBACK" in reason
    assert "nhm/outcome" not in platform.tags(result), "a run of the dataset alone decides nothing"


def test_stale_or_often_rejected_feedback_only_warns(platform: Platform):
    fill(platform, end=WEEK_END - timedelta(days=8), days=20)
    put(platform.database, feedback=[feedback(f"bad-{number}", human_rating=None) for number in range(20)])
    result = platform.retrain(only=DATASET)
    assert result.success
    assert failed_checks(result) == ["feedback_fresh", "few_rejected_documents"]


@pytest.mark.parametrize(
    ("count", "source", "real", "synthetic"), [(0, "synthetic", 0, 300), (40, "hybrid", 40, 260), (300, "real", 300, 0)]
)
def test_synthetic_rows_fill_up_where_they_are_allowed(
    platform: Platform, count: int, source: str, real: int, synthetic: int
):
    fill(platform, count)
    result = platform.with_settings(allow_synthetic_fallback="auto").retrain(only=DATASET)
    assert result.success
    shown = metadata(result)
    assert (shown["data_source"], shown["real_rows"], shown["synthetic_rows"]) == (source, real, synthetic)
    frame = pd.read_parquet(stored_file(platform))
    assert set(frame.loc[frame["split"] != "train", "source"]) == {"synthetic" if source == "synthetic" else "real"}


def test_synthetic_rows_can_be_allowed_in_production(platform: Platform):
    settings = {"environment": "production", "allow_synthetic_fallback": "true"}
    assert metadata(platform.with_settings(**settings).retrain(only=DATASET))["synthetic_rows"] == 300


def test_feedback_below_min_feedback_rating_is_left_out(platform: Platform):
    opinions, reviews = reviewed_opinions(20)
    put(platform.database, opinions=opinions, feedback=[{**one, "human_rating": 0.4} for one in reviews[:5]])
    put(platform.database, feedback=[{**one, "human_rating": 0.6} for one in reviews[5:]])
    assert metadata(platform.retrain(only=DATASET))["real_rows"] == 20
    assert metadata(platform.with_settings(min_feedback_rating=0.5).retrain(only=DATASET))["real_rows"] == 15
