"""`evaluation_report` in whole runs: the champion is scored on the candidate's rows, and the checks are the gate."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, ExecuteInProcessResult

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dataset_schema import FEATURE_NAMES, TEST
from nhm_assets.domain.outcomes import GATE_CHECKS, REPORT_DIGEST
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport, Metrics
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.gate import DESCRIPTIONS
from nhm_assets.evaluation.metrics import compute_metrics
from nhm_assets.registry.versions import all_versions
from nhm_assets.steps.pictures import LARGEST
from tests.support.dagster_internals import PartitionKeyFilter
from tests.support.documents import WEEK, WEEK_END, put, reviewed_opinions
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform, failed_step, verdicts
from tests.support.served import served_plans
from tests.support.versions import MODEL, Versions, small_forest

pytestmark = pytest.mark.servers

UP_TO_EVALUATION = ["trained_model", "evaluation_report"]
PARTITION = Partition.parse(WEEK, "technical").key
SERVED = 30
"""Plans that the specialist saw since the champion was promoted."""
BOASTS = {"f1": "0.999", "test_f1": "0.999"}
"""What a version claims about itself; the platform must not believe it."""


@dataclass(frozen=True)
class Match:
    """One candidate, against a good champion and then against a bad one, in whole runs."""

    platform: Platform
    test_rows: pd.DataFrame
    good: Any
    bad: Any
    held: ExecuteInProcessResult
    promoted: ExecuteInProcessResult
    stages_when_held: dict[str, str]


def install(platform: Platform, forest: Any, **options: Any) -> str:
    """Put a version from elsewhere into Production; the version before is archived."""
    with platform.mlflow.client() as client:
        log = platform.database["model_audit_log"]
        version = Versions(client, platform.settings.nhm_home, log).add(forest, **options)
        client.transition_model_version_stage(MODEL, version, "Production", archive_existing_versions=True)
        client.set_registered_model_alias(MODEL, "production", version)
    return version


def stages(platform: Platform) -> dict[str, str]:
    with platform.mlflow.client() as client:
        return {str(version.version): version.current_stage for version in all_versions(client, MODEL)}


def report_of(result: ExecuteInProcessResult) -> EvaluationReport:
    return result.asset_value(AssetKey("evaluation_report"))


def failed_checks(result: ExecuteInProcessResult) -> set[str]:
    return {name for name, passed in verdicts(result).items() if not passed}


@pytest.fixture(scope="module")
def match(module_platform: Platform) -> Match:
    """Reviewers disagree in the training rows and agree in the test rows.

    The good champion was fitted on the test rows; the bad one confuses approvals and rejections.
    """
    platform = module_platform.with_settings(
        precision_threshold=0.2, recall_threshold=0.2, f1_threshold=0.2, write_shadow_comparisons=True
    )
    # A version from elsewhere has been in Production since MLflow's own clock says so, which may be any day.
    platform.database["plan_features"].insert_many(
        served_plans(SERVED, timestamp=datetime(2100, 1, 1, tzinfo=UTC).timestamp())
    )
    older = reviewed_opinions(340, seed=1, disagreement=0.6, end=WEEK_END - timedelta(days=2), days=28)
    newest = reviewed_opinions(60, seed=2, disagreement=0, days=2)
    put(platform.database, opinions=older[0] + newest[0], feedback=older[1] + newest[1])
    frame = platform.retrain(only=["feedback_dataset"]).asset_value(AssetKey("feedback_dataset"))
    test_rows = frame[frame["split"] == TEST]
    good = fit_model(test_rows, PARAMETERS, threads=1)
    bad = fit_model(test_rows.assign(label=test_rows["label"].replace({0: 1, 1: 0})), PARAMETERS, threads=1)
    install(platform, good)
    held = platform.retrain()
    stages_when_held = stages(platform)
    install(platform, bad, tags=BOASTS)
    promoted = platform.retrain()
    return Match(platform, test_rows, good, bad, held, promoted, stages_when_held)


def own_metrics(match: Match, forest: Any) -> Metrics:
    """Metrics of a model on the test rows of the candidate, computed outside the platform."""
    asked = match.test_rows[list(FEATURE_NAMES)]
    assert list(forest.classes_) == ["approve", "reject", "review_required"]
    return compute_metrics(match.test_rows["label"].to_numpy(), forest.predict_proba(asked)[:, [1, 0, 2]])


def test_the_champion_is_scored_on_the_test_rows_of_the_candidate_whatever_its_tags_claim(match):
    held, promoted = report_of(match.held), report_of(match.promoted)
    assert (held.champion.version, promoted.champion.version) == ("1", "3")
    assert held.champion.metrics == own_metrics(match, match.good)
    assert promoted.champion.metrics == own_metrics(match, match.bad)
    assert promoted.champion.metrics.f1 < held.candidate.f1 < held.champion.metrics.f1 - 0.01


def test_the_candidate_is_the_same_in_both_runs(match):
    held, promoted = report_of(match.held), report_of(match.promoted)
    assert (held.version, promoted.version) == ("2", "2")
    assert held.candidate == promoted.candidate
    assert held.importances == promoted.importances
    assert set(held.importances) == set(FEATURE_NAMES)
    assert any(held.importances.values())
    assert held.digest() != promoted.digest()


def test_a_good_champion_holds_a_worse_candidate(match):
    assert match.held.success
    undecided = {"thresholds_on_folds", "not_worse_on_folds", "not_worse_than_reference"}
    assert failed_checks(match.held) & set(GATE_CHECKS) == {"not_worse_than_production"} | undecided
    found = {item.check_name: item for item in match.held.get_asset_check_evaluations()}
    for name in undecided:
        assert found[name].severity is AssetCheckSeverity.WARN
        said = "Not decided: not_worse_than_production failed, so no folds were fitted."
        assert reason_in(found[name].description) == said
    decides = "This check decides the promotion: if it fails, the candidate is held."
    assert found["f1_threshold"].description.endswith(f"\n\ntechnical {WEEK}. {decides}")
    assert found["calibrated"].description.endswith(f"\n\ntechnical {WEEK}. This check only warns.")
    assert report_of(match.held).folds is None
    tags = match.platform.tags(match.held)
    assert (tags["nhm/outcome"], tags["nhm/held_by"]) == ("held", "not_worse_than_production")
    assert tags["nhm/held_as"] == "below"
    assert "clearly more than the allowed 0.010" in tags["nhm/reason"]
    assert match.stages_when_held == {"1": "Production", "2": "Staging"}


def test_a_held_candidate_yields_no_promotion(match):
    materialized = {event.asset_key for event in match.held.get_asset_materialization_events()}
    assert AssetKey("evaluation_report") in materialized
    assert AssetKey("promoted_version") not in materialized
    assert "registry_consistent" not in verdicts(match.held)


def test_the_difference_to_the_champion_is_known_without_folds_too(match):
    report = report_of(match.held)
    assert report.fair_rows == report.test_rows
    assert report.difference == pytest.approx(report.candidate.f1 - report.champion.metrics.f1)
    assert 0 < report.standard_error < 0.2


def test_how_sure_the_decision_is_stands_in_the_report_and_in_mlflow(match):
    held, promoted = report_of(match.held), report_of(match.promoted)
    assert held.flip_rate < 0.05
    assert 0 <= promoted.flip_rate <= 1
    with match.platform.mlflow.client() as client:
        assert client.get_run(promoted.run_id).data.metrics["flip_rate"] == promoted.flip_rate


def test_a_candidate_that_passes_the_first_checks_is_judged_on_folds(match):
    report, test_rows = report_of(match.promoted), len(match.test_rows)
    assert [(fold.number, fold.tested_rows) for fold in report.folds] == [(1, 60), (2, 60)]
    assert report.pooled.rows == test_rows + sum(60 for fold in report.folds if not fold.left_out)
    assert report.reference.reason == "no version was in Production 8 weeks before"
    assert report.difference > 0 < report.standard_error


def test_a_bad_champion_lets_a_better_candidate_pass(match):
    assert match.promoted.success
    assert failed_checks(match.promoted) & set(GATE_CHECKS) == set()
    assert match.platform.tags(match.promoted)["nhm/outcome"] == "promoted"
    assert stages(match.platform) == {"1": "Archived", "2": "Production", "3": "Archived"}


def test_the_comparison_counts_where_only_one_of_the_two_is_correct(match):
    held, promoted = (report_of(result).champion.comparison for result in (match.held, match.promoted))
    assert held.only_champion_right > held.only_candidate_right
    assert promoted.only_candidate_right > promoted.only_champion_right
    assert held.differences["f1"].high < 0 < promoted.differences["f1"].low


def test_candidate_and_champion_are_compared_on_the_plans_that_came_in(match):
    """Without labels. It decides nothing: the good champion's answers are far from the candidate's."""
    held, promoted = (report_of(result).shadow for result in (match.held, match.promoted))
    assert (held.champion, held.plans, promoted.champion, promoted.plans) == ("1", SERVED, "3", SERVED)
    assert verdicts(match.promoted)["agrees_in_shadow"] == (promoted.agreement >= 0.9)
    assert promoted.agreement < 0.9
    written = match.platform.database["shadow_mode_comparisons"].distinct("prod_version")
    assert written == ["1", "3"]


def test_the_comparison_is_shown_with_a_picture_and_its_largest_changes(match):
    (shown,) = match.promoted.asset_materializations_for_node("evaluation_report")
    assert f"| plans asked | {SERVED} |" in shown.metadata["shadow"].value
    assert shown.metadata["shadow_picture"].value.startswith("![champion and candidate](data:image/png;base64,")
    assert len(shown.metadata["shadow_largest_changes"].records) == 10


def test_the_decision_comes_first_and_then_its_picture(match):
    (shown,) = match.held.asset_materializations_for_node("evaluation_report")
    assert list(shown.metadata)[:2] == ["decision", "picture"]
    assert shown.metadata["picture"].value.startswith("![what the candidate does](data:image/svg+xml;base64,")


def test_the_pictures_are_artifacts_of_the_run_that_trained_the_candidate(match):
    with match.platform.mlflow.client() as client:
        files = {
            file.path: file.file_size for file in client.list_artifacts(report_of(match.promoted).run_id, "pictures")
        }
    assert set(files) == {"pictures/evaluation.svg", "pictures/shadow.png"}
    assert max(files.values()) < LARGEST


@pytest.mark.parametrize("which", ["held", "promoted"])
def test_every_check_is_recorded_with_the_digest_of_its_report(match, which):
    result = getattr(match, which)
    (materialized,) = (
        record
        for record in match.platform.instance.fetch_materializations(AssetKey("evaluation_report"), limit=10).records
        if record.run_id == result.run_id
    )
    found = {item.check_name: item for item in result.get_asset_check_evaluations() if item.check_name in DESCRIPTIONS}
    assert list(found) == list(DESCRIPTIONS)
    for evaluation in found.values():
        assert evaluation.target_materialization_data.run_id == result.run_id
        assert evaluation.target_materialization_data.storage_id == materialized.storage_id
        assert evaluation.metadata[REPORT_DIGEST].value == report_of(result).digest()
        assert evaluation.partition == PARTITION


def test_the_latest_record_of_the_partition_is_that_of_the_latest_run(match):
    keys = [AssetCheckKey(AssetKey("evaluation_report"), name) for name in DESCRIPTIONS]
    latest = match.platform.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        keys, partition_filter=PartitionKeyFilter(key=PARTITION)
    )
    assert {record.run_id for record in latest.values()} == {match.promoted.run_id}
    assert latest.keys() == set(keys)


def test_the_report_is_shown_with_its_tables(match):
    (shown,) = match.held.asset_materializations_for_node("evaluation_report")
    assert shown.metadata["champion_f1"].value == report_of(match.held).champion.metrics.f1
    assert 0 <= shown.metadata["stored_features_share"].value <= 1
    assert next(iter(shown.metadata)) == "decision"
    assert shown.metadata["decision"].value.startswith("**HELD (")
    assert "| champion, version 1 |" in shown.metadata["metrics"].value
    assert shown.metadata["report"].value == report_of(match.held).model_dump(mode="json")


def test_a_dataset_rebuilt_after_the_training_is_refused_until_the_model_is_trained_on_it(platform: Platform):
    store_dataset(platform, learnable(seed=1))
    assert platform.retrain(only=["trained_model"]).success
    store_dataset(platform, learnable(seed=2))
    refused = platform.retrain(only=["evaluation_report"])
    step, message = failed_step(refused)
    assert step == "evaluation_report"
    assert f"technical {WEEK} was rebuilt after the training. Materialize trained_model" in message
    assert verdicts(refused) == {}
    assert platform.retrain(only=UP_TO_EVALUATION).success


@dataclass(frozen=True)
class LeavesATrace:
    """Writes a file wherever it is unpickled, if it can."""

    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"try:\n    open({str(self.path)!r}, 'w').close()\nexcept OSError:\n    pass",)


def test_a_champion_that_the_platform_did_not_register_is_scored_only_if_that_is_allowed(
    platform: Platform, tmp_path: Path
):
    """Such a champion is not trusted without permission, and does not count as bad. It is unpickled where it can do
    nothing."""
    store_dataset(platform, learnable())
    forest = small_forest(seed=5)
    forest.trace = LeavesATrace(tmp_path / "trace")
    champion = install(platform, forest, verified=False)
    cloudpickle.loads(cloudpickle.dumps(forest))
    forest.trace.path.unlink()
    unscored = platform.retrain(only=UP_TO_EVALUATION)
    assert unscored.success
    assert report_of(unscored).champion is None
    assert report_of(unscored).foreign_champion.version == champion
    allowed = platform.with_settings(allow_unverified_champion=True).retrain(only=["evaluation_report"])
    assert allowed.success
    assert report_of(allowed).champion.version == champion
    assert report_of(allowed).foreign_champion == report_of(unscored).foreign_champion
    assert list(verdicts(allowed)) == list(DESCRIPTIONS)
    assert not forest.trace.path.exists()
