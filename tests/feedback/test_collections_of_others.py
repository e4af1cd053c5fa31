"""Collections whose owners made them views or time series, or let nobody write: the run goes on and says so."""

from typing import Any

import pytest
from dagster import DagsterEventType, ExecuteInProcessResult

from tests.support.datasets import DATASET, fill, metadata
from tests.support.documents import WEEK_END
from tests.support.platform import Platform, failed_step
from tests.support.windows import STORED

pytestmark = pytest.mark.servers


def logged(result: ExecuteInProcessResult, platform: Platform) -> str:
    return " ".join(one.user_message for one in platform.instance.all_logs(result.run_id))


def test_a_validator_on_the_features_refuses_ours_and_the_run_goes_on(platform: Platform):
    """Their owner may demand fields that ours do not have. Nothing here depends on our features."""
    fill(platform)
    validator = {"$jsonSchema": {"required": ["embedding_model"]}}
    platform.database.create_collection("plan_features", validator=validator)
    result = platform.retrain(only=DATASET)
    assert result.success
    assert metadata(result)["features_written_back"] == 0
    assert "refused our features of 300 plans in the collection plan_features" in logged(result, platform)
    assert "failed validation" in logged(result, platform)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewOn": "elsewhere", "pipeline": []}, id="a view"),
        pytest.param({"timeseries": {"timeField": "timestamp"}}, id="a time series"),
    ],
)
def test_features_that_cannot_be_written_to_are_read_all_the_same(platform: Platform, options: dict[str, Any]):
    fill(platform)
    stored = {"plan_id": "plan-technical-1-0308-0", "features": STORED, "timestamp": WEEK_END}
    platform.database.create_collection("plan_features", **options)
    platform.database[options.get("viewOn", "plan_features")].insert_one(stored)
    result = platform.retrain(only=DATASET)
    assert result.success
    assert metadata(result)["stored_features_rows"] == 1
    assert metadata(result)["features_written_back"] == 0
    assert "refused a unique index on plan_id in the collection plan_features" in logged(result, platform)


def test_feedback_opinions_and_plans_may_be_views(platform: Platform):
    """So an operator can hide fields of them, personal data for example."""
    fill(platform)
    for name in ("specialist_feedback", "specialist_opinions", "cognitive_ledger"):
        platform.database.create_collection(f"shown_{name}", viewOn=name, pipeline=[{"$unset": "submitted_by"}])
    shown = platform.with_settings(
        feedback_collection="shown_specialist_feedback",
        opinions_collection="shown_specialist_opinions",
        plans_collection="shown_cognitive_ledger",
    )
    assert metadata(shown.retrain(only=DATASET))["real_rows"] == 300


def test_two_feature_documents_for_one_plan_break_the_run_and_the_plan_is_named(platform: Platform):
    fill(platform, 10)
    platform.database.plan_features.insert_many([{"plan_id": "twin"}, {"plan_id": "twin"}])
    result = platform.retrain(only=DATASET)
    step, message = failed_step(result)
    assert step == "feedback_dataset"
    assert "'twin'" in message
    assert not result.filter_events(lambda event: event.event_type == DagsterEventType.ASSET_MATERIALIZATION)
