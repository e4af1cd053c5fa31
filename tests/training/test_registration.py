"""From rows to a registered version, once for the same data, code and parameters, in whole runs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.domain.dataset_schema import FEATURE_NAMES, data_version
from nhm_assets.domain.records import Calibration, TrainedModel
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry.model_files import verified_model
from nhm_assets.registry.versions import all_versions, version_by_alias
from nhm_assets.settings import Settings
from nhm_assets.training.code_version import code_version
from nhm_assets.training.train import training_settings
from tests.support.documents import WEEK, WEEK_END, WINDOW_START, feedback, put, reviewed_opinions
from tests.support.platform import Platform, verdicts
from tests.support.versions import MODEL

pytestmark = pytest.mark.servers

COLLECTIONS = ("feedback_quarantine", "plan_features", "model_audit_log")
UP_TO_EVALUATION = ["feedback_dataset", "trained_model", "evaluation_report"]


@dataclass(frozen=True)
class Story:
    """A partition retrained, retrained again on the same documents, and a third time with force."""

    platform: Platform
    first: ExecuteInProcessResult
    again: ExecuteInProcessResult
    forced: ExecuteInProcessResult
    counts: tuple[dict[str, int], dict[str, int]]
    """The counts after the first run and after the second."""

    def trained(self, result: ExecuteInProcessResult) -> TrainedModel:
        return result.asset_value(AssetKey("trained_model"))


def counted(platform: Platform) -> dict[str, int]:
    """Number of versions, MLflow runs and documents that the platform wrote."""
    with platform.mlflow.client() as client:
        experiment = client.get_experiment_by_name("technical-specialist")
        return {
            "versions": len(all_versions(client, MODEL)),
            "runs": len(client.search_runs([experiment.experiment_id])),
            **{name: platform.database[name].count_documents({}) for name in COLLECTIONS},
        }


@pytest.fixture(scope="module")
def story(module_platform: Platform) -> Story:
    platform = module_platform
    opinions, reviews = reviewed_opinions(300)
    blemished = [feedback("nobody-gave"), feedback("too-good", human_rating=1.5)]
    put(platform.database, opinions=opinions, feedback=[*reviews, *blemished])
    first = platform.retrain(only=UP_TO_EVALUATION)
    once = counted(platform)
    again = platform.retrain(only=UP_TO_EVALUATION[:2])
    twice = counted(platform)
    forced = platform.with_settings(force_retrain=True).retrain(only=UP_TO_EVALUATION)
    assert first.success
    assert again.success
    assert forced.success
    return Story(platform, first, again, forced, (once, twice))


@pytest.fixture(scope="module")
def client(story: Story) -> Iterator[Any]:
    with story.platform.mlflow.client() as client:
        yield client


@pytest.fixture(scope="module")
def log(story: Story) -> Any:
    return story.platform.database["model_audit_log"]


@pytest.fixture(scope="module")
def run(story, client) -> Any:
    """The MLflow run of the first version."""
    return client.get_run(story.trained(story.first).run_id)


@pytest.fixture(scope="module")
def frame(story) -> Any:
    return story.first.asset_value(AssetKey("feedback_dataset"))


def test_a_new_version_starts_in_staging_and_the_newest_is_the_candidate(story, client):
    versions = {str(version.version): version.current_stage for version in all_versions(client, MODEL)}
    assert versions == {"1": "Staging", "2": "Staging"}
    assert version_by_alias(client, MODEL, "candidate") == "2"


def test_the_checks_on_a_trained_model_all_pass(story):
    checks = verdicts(story.first)
    assert checks["signature_matches_features"]
    assert checks["loads_as_pyfunc"]
    assert checks["sklearn_compatible"]
    assert checks["serves_as_specialists_read_it"]


def test_the_tags_of_a_version_say_what_it_was_trained_from(story, client, log, frame):
    trained = story.trained(story.first)
    tags = dict(client.get_model_version(MODEL, "1").tags)
    with verified_model(client, log, MODEL, "1") as files:
        assert (files / "model.pkl").exists()
    fingerprint, sha256 = tags.pop("nhm.fingerprint"), tags.pop("nhm.model_sha256")
    assert (len(fingerprint), len(sha256)) == (32, 64)
    assert sha256 == trained.sha256
    assert {name: tags.pop(name) for name in ("nhm.rows", "nhm.parameters")} == {
        "nhm.rows": json.dumps({"test": 45, "train": 210, "validation": 45}),
        "nhm.parameters": json.dumps(PARAMETERS, sort_keys=True),
    }
    assert Calibration.model_validate_json(tags.pop("nhm.calibration")) == trained.calibration
    assert tags == {
        "nhm.partition": f"technical|{WEEK}",
        "nhm.window_start": WINDOW_START.isoformat(),
        "nhm.window_end": WEEK_END.isoformat(),
        "nhm.learned_until": learning_rows(frame)["submitted_at"].max().isoformat(),
        "nhm.data_version": data_version(frame),
        "nhm.data_source": "real",
        "nhm.code_version": code_version(),
        "nhm.classes": "approve,reject,review_required",
        "nhm.searched": "false",
        "dagster_run_id": story.first.run_id,
    }


def test_the_record_agrees_with_the_registry(story, client):
    trained, version = story.trained(story.first), client.get_model_version(MODEL, "1")
    assert (trained.model, trained.version, trained.run_id) == (MODEL, "1", version.run_id)
    assert (trained.window_start, trained.window_end) == (WINDOW_START, WEEK_END)
    assert trained.data_version == version.tags["nhm.data_version"]
    assert trained.parameters == PARAMETERS
    assert trained.rows == {"test": 45, "train": 210, "validation": 45}


def test_the_run_is_finished_and_names_its_dagster_run(story, run):
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagster_run_id"] == story.first.run_id
    method = run.data.params.pop("calibration")
    assert run.data.params == {name: str(value) for name, value in PARAMETERS.items()}
    calibration = story.trained(story.first).calibration
    assert calibration.method == method
    assert calibration.brier.keys() == {"none", "sigmoid"}
    assert calibration.brier == {name: run.data.metrics[f"calibration_brier_{name}"] for name in calibration.brier}
    assert run.data.metrics["rows_learned"] == 255


def test_the_run_is_named_after_its_partition(run):
    """In the list of runs in MLflow, only the name tells one week from another."""
    assert run.info.run_name == f"technical|{WEEK}"


def test_the_dataset_is_the_input_of_the_run_and_its_digest_is_the_data_version(run, frame):
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.digest == data_version(frame)
    assert given.dataset.name == f"feedback_dataset technical|{WEEK}"
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training"}


def test_the_schema_of_the_dataset_is_the_one_that_mlflow_infers_from_all_values(run, frame):
    import mlflow.data

    (given,) = run.inputs.dataset_inputs
    rows = frame[[*FEATURE_NAMES, "label"]]
    assert rows.isna().any().any()
    assert given.dataset.schema == mlflow.data.from_pandas(rows)._to_mlflow_entity().schema


def test_the_model_has_signature_input_example_and_pinned_requirements(client, log):
    from mlflow.models import Model

    with verified_model(client, log, MODEL, "1") as files:
        described = Model.load(str(files))
        requirements = (files / "requirements.txt").read_text().split()
        example = described.load_input_example(str(files))
    assert [(column.name, column.type.name) for column in described.signature.inputs] == [
        (name, "double") for name in FEATURE_NAMES
    ]
    assert described.flavors["python_function"]["predict_fn"] == "predict_proba"
    assert described.flavors["sklearn"]["serialization_format"] == "cloudpickle"
    assert list(example.columns) == list(FEATURE_NAMES)
    for name in ("scikit-learn", "cloudpickle", "numpy", "pandas"):
        assert f"{name}=={metadata.version(name)}" in requirements
    assert all("==" in requirement for requirement in requirements)


def test_the_registered_model_is_the_estimator_fitted_on_the_training_rows(client, log, frame):
    """Fitted on a test row too, forest or calibrators would differ."""
    import mlflow.pyfunc

    asked = frame[list(FEATURE_NAMES)]
    with verified_model(client, log, MODEL, "1") as files:
        found = mlflow.pyfunc.load_model(str(files)).predict(asked)
    learned = learning_rows(frame)
    assert set(learned["split"]) == {"train", "validation"}
    right, wrong = (fit_estimator(rows, PARAMETERS, threads=1).estimator for rows in (learned, frame))
    assert np.array_equal(found, right.predict_proba(asked))
    assert not np.array_equal(found, wrong.predict_proba(asked))


def test_the_same_documents_again_add_nothing(story):
    once, twice = story.counts
    assert once == {
        "versions": 1,
        "runs": 1,
        "feedback_quarantine": 2,
        "plan_features": 300,
        "model_audit_log": 1,
    }
    assert twice == once


def test_the_same_documents_again_result_in_the_same_version(story):
    first, again = story.trained(story.first), story.trained(story.again)
    assert (first.reused, again.reused) == (False, True)
    assert again == first.model_copy(update={"reused": True})


@pytest.mark.parametrize("changed", [{"calibration": "none"}, {"served_classes": "codes"}])
def test_a_setting_that_changes_the_model_results_in_a_version_of_its_own(changed):
    own, default = (training_settings(settings, "technical") for settings in (Settings(**changed), Settings()))
    assert own != default


def test_force_retrain_registers_a_new_version_with_exactly_the_same_metrics(story, client):
    first, forced = story.trained(story.first), story.trained(story.forced)
    assert (forced.version, forced.reused) == ("2", False)
    assert forced.run_id != first.run_id
    one, other = (result.asset_value(AssetKey("evaluation_report")) for result in (story.first, story.forced))
    assert (one.version, other.version) == ("1", "2")
    assert one.candidate == other.candidate
    assert one.intervals == other.intervals
    assert one.importances == other.importances


def test_the_audit_log_records_a_registration_and_its_actor(story):
    entries = list(story.platform.database["model_audit_log"].find().sort("version"))
    assert [(entry["kind"], entry["version"], entry["to_stage"]) for entry in entries] == [
        ("registered", "1", "Staging"),
        ("registered", "2", "Staging"),
    ]
    assert [entry["dagster_run_id"] for entry in entries] == [story.first.run_id, story.forced.run_id]
    assert entries[0]["mlflow_run_id"] == story.trained(story.first).run_id
    assert entries[0]["sha256"] == story.trained(story.first).sha256


def test_the_test_metrics_are_in_the_run_that_trained(story, run):
    report = story.first.asset_value(AssetKey("evaluation_report"))
    assert run.data.metrics["test_f1"] == report.candidate.f1
    assert run.data.metrics["test_brier"] == report.candidate.brier
