"""What other programs and people see in MLflow: metrics and stage of the run, descriptions of version and model."""

from dataclasses import dataclass
from typing import Any

import pytest
from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.domain.outcomes import Outcome
from nhm_assets.registry.descriptions import describe, mark_run
from nhm_assets.registry.rollback import RollbackRequest, roll_back
from tests.support.documents import NOW
from tests.support.learnable import learnable, store_checked_dataset
from tests.support.platform import Platform
from tests.support.reports import report
from tests.support.versions import MODEL

pytestmark = pytest.mark.servers

UP_TO_PROMOTION = ["trained_model", "evaluation_report", "promoted_version"]


@dataclass(frozen=True)
class Story:
    """A version that was promoted, one that was held, and one that was promoted after it."""

    platform: Platform
    first: ExecuteInProcessResult
    held: ExecuteInProcessResult
    second: ExecuteInProcessResult

    def run(self, result: ExecuteInProcessResult) -> Any:
        """The MLflow run of the version that a run trained."""
        with self.platform.mlflow.client() as client:
            return client.get_run(result.asset_value(AssetKey("trained_model")).run_id)


@pytest.fixture(scope="module")
def story(module_platform: Platform) -> Story:
    platform = module_platform.with_settings(dagster_url="https://dagster.example", force_retrain=True)
    store_checked_dataset(platform, learnable(600, noise=0.02))
    first = platform.retrain(only=UP_TO_PROMOTION)
    held = platform.with_settings(min_test_rows=1000).retrain(only=UP_TO_PROMOTION)
    second = platform.retrain(only=UP_TO_PROMOTION)
    outcomes = [platform.tags(result)["nhm/outcome"] for result in (first, held, second)]
    assert outcomes == ["promoted", "held", "promoted"]
    return Story(platform, first, held, second)


def test_the_run_has_the_metrics_by_the_names_that_others_look_for(story):
    found = story.run(story.first).data.metrics
    metrics = story.first.asset_value(AssetKey("evaluation_report")).candidate
    expected = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1, "f1_score": metrics.f1}
    assert expected | {"accuracy": metrics.accuracy} == {
        name: found[name] for name in ("precision", "recall", "f1", "f1_score", "accuracy")
    }
    assert found["test_f1"] == found["f1"]


def test_only_the_run_of_the_version_in_production_has_the_tag_stage(story):
    stages = [story.run(result).data.tags.get("stage") for result in (story.first, story.held, story.second)]
    assert stages == [None, None, "Production"]


def test_a_rollback_takes_the_tag_with_it(story):
    with story.platform.mlflow.client() as client:
        log = story.platform.database["model_audit_log"]
        roll_back(client, log, RollbackRequest(MODEL, "worse"), now=NOW, wait_s=10)
        stages = [story.run(result).data.tags.get("stage") for result in (story.first, story.second)]
        assert stages == ["Production", None]


def test_versions_say_what_was_decided_about_them_with_f1_and_a_link_to_the_run(story):
    with story.platform.mlflow.client() as client:
        described = {number: client.get_model_version(MODEL, number).description for number in ("1", "2", "3")}
        model = client.get_registered_model(MODEL).description
    f1 = story.first.asset_value(AssetKey("evaluation_report")).candidate.f1
    for number, decided, result in (("1", " (promoted): every", story.first), ("2", ": held by enough", story.held)):
        assert described[number].startswith(f"nhm-assets: version {number}{decided}")
        assert "Decided 2026-03-20" in described[number]
        assert f"F1 {f1:.3f}" in described[number]
        assert f"https://dagster.example/runs/{result.run_id}" in described[number]
    assert "enough_evidence" in described["2"]
    assert model == described["3"]


def test_what_people_wrote_is_kept(story):
    with story.platform.mlflow.client() as client:
        client.update_registered_model(MODEL, description="Asks before it approves.")
        made = report(version="1")
        describe(client, made, Outcome.HELD, "too few rows", run_url="https://dagster.example/runs/r", now=NOW)
        assert client.get_registered_model(MODEL).description == "Asks before it approves."
        assert "held" in client.get_model_version(MODEL, "1").description


def test_a_run_that_was_deleted_is_only_warned_of(story, caplog):
    with story.platform.mlflow.client() as client:
        version = client.get_model_version(MODEL, "2")
        client.delete_run(version.run_id)
        mark_run(client, version, before=[])
        client.restore_run(version.run_id)
    assert f"the tag stage of run {version.run_id} could not be written" in caplog.text


def test_a_version_that_was_deleted_is_only_warned_of(story, caplog):
    with story.platform.mlflow.client() as client:
        describe(client, report(version="99"), Outcome.HELD, "too few rows", run_url="https://dagster.example", now=NOW)
    assert f"the description of {MODEL} version 99 could not be written" in caplog.text
