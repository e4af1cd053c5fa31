"""Trainings on stored datasets: of several partitions, of too few classes, beside a damaged file."""

from datetime import timedelta

import numpy as np
import pytest

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dataset_schema import APPROVE, REJECT
from nhm_assets.registry.versions import all_versions
from tests.support.documents import WEEK, WEEK_END, WINDOW_START
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform, verdicts
from tests.support.versions import MODEL

pytestmark = pytest.mark.servers

EARLIER_WEEK = "2026-02-22"


def test_partitions_and_specialists_never_log_into_each_others_runs(platform: Platform):
    """Nor into a run that other code in this process has left open."""
    import mlflow

    partitions = [("technical", WEEK), ("business", WEEK), ("technical", EARLIER_WEEK)]
    for seed, (specialist, week) in enumerate(partitions):
        frame = learnable(seed=seed)
        if week == EARLIER_WEEK:
            shift = timedelta(days=7)
            frame["submitted_at"] -= shift
            frame.attrs["window"] = [(moment - shift).isoformat() for moment in (WINDOW_START, WEEK_END)]
        store_dataset(platform, frame, specialist=specialist, week=week)
    foreign = platform.mlflow.experiment_id("somebody-else")
    with platform.mlflow.client() as client:
        left_open = mlflow.start_run(experiment_id=foreign).info.run_id
        results = [platform.retrain(*partition, only=["trained_model"]) for partition in partitions]
        assert all(result.success for result in results)
        for (specialist, week), result in zip(partitions, results, strict=True):
            experiment = client.get_experiment_by_name(f"{specialist}-specialist").experiment_id
            (run,) = client.search_runs([experiment], f"tags.dagster_run_id = '{result.run_id}'")
            assert run.data.tags["nhm.partition"] == f"{specialist}|{week}"
            assert run.info.status == "FINISHED"
            (logged_input,) = run.inputs.dataset_inputs
            assert logged_input.dataset.name == f"feedback_dataset {specialist}|{week}"
            named = all_versions(client, f"{specialist}-evaluator")
            assert run.info.run_id in {item.run_id for item in named}
        untouched = client.get_run(left_open)
        assert (untouched.data.params, untouched.inputs.dataset_inputs) == ({}, [])
        assert len(all_versions(client, "technical-evaluator")) == 2
        assert len(all_versions(client, "business-evaluator")) == 1


def test_rows_of_one_class_start_no_run_and_register_nothing(platform: Platform):
    """`trained_model` on its own asks for the evidence too."""
    store_dataset(platform, learnable(classes=(1,)))
    result = platform.retrain(only=["trained_model"])
    assert result.success
    tags = platform.tags(result)
    assert tags["nhm/outcome"] == "insufficient_data"
    assert "Too few classes to learn from" in tags["nhm/reason"]
    with platform.mlflow.client() as client:
        experiment = platform.mlflow.experiment_id("technical-specialist")
        assert client.search_runs([experiment]) == []
        assert all_versions(client, MODEL) == []


def test_rows_with_too_few_of_a_class_to_search_on_break_no_run(platform: Platform):
    rare = learnable()
    rare["label"] = np.where(np.arange(len(rare)) < 3, REJECT, APPROVE)
    store_dataset(platform, rare)
    searching = platform.with_settings(model_family="auto")
    result = searching.retrain(only=["trained_model"])
    assert result.success
    tags = platform.tags(result)
    assert (tags["nhm/outcome"], "too few rows" in tags["nhm/reason"]) == ("insufficient_data", True)


@pytest.mark.parametrize("classes", [(1, 2), (0, 1)], ids=["no reject", "no review_required"])
def test_a_version_whose_rows_lack_a_class_passes_the_checks(platform: Platform, classes):
    store_dataset(platform, learnable(classes=classes))
    result = platform.retrain(only=["trained_model"])
    assert result.success
    assert set(verdicts(result).values()) == {True}


def test_a_replaced_model_file_breaks_the_run_and_the_named_remedy_works(platform: Platform):
    store_dataset(platform, learnable())
    assert platform.retrain(only=["trained_model"]).success
    for file in (platform.settings.nhm_home / "mlflow" / "artifacts").rglob("model.pkl"):
        file.write_bytes(b"something else")
    broken = platform.retrain(only=["trained_model"])
    assert not broken.success
    assert platform.tags(broken)["nhm/outcome"] == "broken"
    failed = [check for check in broken.get_asset_check_evaluations() if not check.passed]
    (reason,) = {reason_in(check.description) for check in failed}
    with platform.mlflow.client() as client:
        client.transition_model_version_stage(MODEL, "1", "Archived")
    assert "Archive the version and train again" in reason
    forced = "FORCE_RETRAIN=true" in reason
    assert platform.with_settings(force_retrain=forced).retrain(only=["trained_model"]).success
    assert platform.retrain(only=["trained_model"]).success
