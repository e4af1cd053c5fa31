"""Increments: what is frozen, what is registered, and one world that moves, from the first version to the next week."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import INCREMENT_CONFIG, JOB
from nhm_assets.domain.dataset_schema import APPROVE, REJECT, REVIEW_REQUIRED, data_version
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.estimators.fitting import fit_model, learning_rows
from nhm_assets.registry.model_files import loaded_model, verified_model
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import (
    DATA_VERSION_TAG,
    INCREMENT_OF_TAG,
    INCREMENT_TAG,
    LEARNED_UNTIL_TAG,
    PARAMETERS_TAG,
    PARTITION_TAG,
    PRODUCTION,
)
from nhm_assets.runs.in_process import Retraining, in_process_config, retrain_partition
from nhm_assets.training.increment import Frozen, freeze, learn
from resources.storage import FrameIOManager
from tests.support.documents import NOW, WEEK, put, reviewed_opinions, strict_reviews
from tests.support.learnable import learnable, store_checked_dataset
from tests.support.platform import Platform, verdicts
from tests.support.reports import increment_record
from tests.support.versions import FEW_TREES, MODEL, Versions, small_forest

THIS_WEEK = "2026-03-15"
"""The week of NOW, a Friday noon."""
SWAPPED = {APPROVE: REJECT, REJECT: APPROVE, REVIEW_REQUIRED: REVIEW_REQUIRED}
FRAME = learnable(300, noise=0.1)
LEARNED = {
    LEARNED_UNTIL_TAG: "2026-03-01T00:00:00+00:00",
    PARAMETERS_TAG: '{"max_depth": 10}',
    PARTITION_TAG: f"technical|{WEEK}",
    DATA_VERSION_TAG: data_version(FRAME),
}


def frozen_until(row: int, *, serves: bool, noise: float = 0.1) -> Frozen:
    """A version that learned other rows of the same world, up to the time of this row."""
    model = fit_model(learnable(300, noise=noise, seed=2), FEW_TREES, threads=1)
    until = FRAME["submitted_at"].iloc[row].isoformat()
    return Frozen("7", serves, model, LEARNED | {LEARNED_UNTIL_TAG: until})


def test_only_rows_to_learn_that_are_newer_than_the_frozen_version_are_learned():
    rows = len(learning_rows(FRAME))
    learned = learn(frozen_until(rows - 51, serves=False), FRAME, "names")
    assert not isinstance(learned, str)
    assert (learned[1].frozen, learned[1].feedback) == ("7", 50)
    nothing = learn(frozen_until(rows - 1, serves=True), FRAME, "names")
    assert nothing == "no row to learn is newer than what version 7 has learned"


@pytest.mark.parametrize("serves", [True, False])
def test_where_the_correction_is_worse_the_frozen_version_serves(serves: bool):  # noqa: FBT001
    """It serves already, or the correction that serves is replaced."""
    moved = FRAME.assign(label=FRAME["label"].where(FRAME.index >= 150, FRAME["label"].map(SWAPPED)))
    frozen = frozen_until(0, serves=serves)
    found = learn(frozen, moved, "names")
    if serves:
        assert isinstance(found, str)
        start = "version 7 goes on serving, without a correction: on the last 100 of 254 feedback documents, each"
        assert found.startswith(start)
    else:
        assert found[0] is frozen.estimator
        assert found[1].fell_back


def in_production(versions: Versions, model: Any, tags: dict[str, str]) -> str:
    for version in all_versions(versions.client, MODEL):
        if version.current_stage == PRODUCTION:
            versions.client.transition_model_version_stage(MODEL, version.version, "Archived")
    return versions.add(model, tags=tags, stage=PRODUCTION)


def increment_of(version: str, *, fell_back: bool = False) -> dict[str, str]:
    return {INCREMENT_OF_TAG: version, INCREMENT_TAG: increment_record(version, fell_back=fell_back).model_dump_json()}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """With the dataset that the versions learned."""
    FrameIOManager(str(tmp_path)).store(FRAME, "feedback_dataset", "technical", WEEK)
    return str(tmp_path)


@pytest.mark.servers
def test_an_increment_is_never_what_the_next_one_corrects(versions: Versions, storage: str):
    model = small_forest()
    full = in_production(versions, model, LEARNED)
    assert freeze(versions.client, versions.log, MODEL, "names", storage).serves
    for fell_back in (False, True):
        in_production(versions, small_forest(seed=9), LEARNED | increment_of(full, fell_back=fell_back))
        frozen = freeze(versions.client, versions.log, MODEL, "names", storage)
        assert (frozen.version, frozen.serves) == (full, fell_back)
        assert frozen.learned_until == datetime(2026, 3, 1, tzinfo=UTC)
        asked = FRAME[list(model.feature_names_in_)]
        assert np.array_equal(frozen.estimator.predict_proba(asked), model.predict_proba(asked))


@pytest.mark.servers
@pytest.mark.parametrize(
    ("model", "tags", "reason"),
    [
        (small_forest, {}, "lacks the tags nhm.learned_until, nhm.parameters"),
        (
            small_forest,
            LEARNED | increment_of("4711"),
            "version 4711, which version .* corrects, was deleted",
        ),
        (lambda: fit_model(learnable(), FEW_TREES, threads=1, served="codes"), LEARNED, "answers the classes"),
        (small_forest, LEARNED | {DATA_VERSION_TAG: "0" * 32}, "the dataset that .* learned can no longer be read"),
    ],
    ids=["from an earlier release", "its frozen version was deleted", "another order of classes", "no dataset"],
)
def test_what_cannot_be_frozen_says_why(
    versions: Versions, storage: str, model: Any, tags: dict[str, str], reason: str
):
    in_production(versions, model(), tags)
    with pytest.raises(RegistryError, match=reason):
        freeze(versions.client, versions.log, MODEL, "names", storage)


@pytest.mark.servers
def test_a_replaced_file_is_not_frozen(versions: Versions, storage: str):
    version = in_production(versions, small_forest(), LEARNED)
    (versions.files(version) / "model.pkl").write_bytes(b"something else")
    with pytest.raises(RegistryError, match="was replaced"):
        freeze(versions.client, versions.log, MODEL, "names", storage)


BOUNDARIES = (
    "nhm_assets.training.registration._stored_sha256",
    "nhm_assets.training.assets.place_candidate",
    "nhm_assets.training.assets.record_registration",
    "nhm_assets.training.assets._lineage",
)
"""What follows the model file, the version, its stage, its log entry. `test_killed_increment` kills at any moment."""


@pytest.mark.servers
def test_wherever_an_increment_is_interrupted_the_next_run_leaves_one_version_that_learned_each_feedback_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    store_checked_dataset(platform, FRAME)
    store_checked_dataset(platform, FRAME, week=THIS_WEEK)
    log, model = platform.database["model_audit_log"], small_forest()
    with platform.mlflow.client() as client:
        versions = Versions(client, platform.settings.nhm_home, log)
        full = versions.add(model, tags=LEARNED, stage=PRODUCTION)
        for boundary in BOUNDARIES:
            with monkeypatch.context() as patched:
                patched.setattr(boundary, died)
                assert not increment(platform, only=["trained_model"]).success, boundary
        made = trained_in(increment(platform, only=["trained_model"]))
        assert (made.version, made.reused) == ("2", True)
        stages = {str(version.version): version.current_stage for version in all_versions(client, MODEL)}
        assert stages == {full: PRODUCTION, "2": "Staging"}
        with verified_model(client, log, MODEL, "2") as files:
            stack = loaded_model(files).get_raw_model()
    estimator, record = learn(Frozen(full, serves=True, estimator=model, tags=LEARNED), FRAME, "names")
    assert made.increment == record
    one, other = (each.final_estimator_["correct"] for each in (stack, estimator))
    assert np.array_equal(one.coef_, other.coef_)
    assert np.array_equal(one.intercept_, other.intercept_)


def add_strict_reviews(platform: Platform, count: int, *, end: datetime, days: float, seed: int) -> None:
    """New feedback of reviewers who have changed their minds."""
    opinions, reviews = strict_reviews(count, seed=seed, end=end, days=days)
    put(platform.database, opinions=opinions, feedback=reviews)


def increment(platform: Platform, **how: Any) -> ExecuteInProcessResult:
    return platform.retrain(week=THIS_WEEK, config=INCREMENT_CONFIG, **how)


def increment_by_hand(platform: Platform) -> Retraining:
    """As `nhm retrain --increment` makes one."""
    partition = Partition.parse(THIS_WEEK, "technical")
    return retrain_partition(
        build_definitions(platform.settings).resolve_job_def(JOB),
        platform.instance,
        partition,
        partition.window(days=30, now=NOW),
        storage=platform.settings.storage,
        tags={},
        config=in_process_config(platform.settings) | INCREMENT_CONFIG,
        progress=lambda _: None,
    )


def trained_in(result: ExecuteInProcessResult) -> TrainedModel:
    return result.asset_value(AssetKey("trained_model"))


@pytest.mark.servers
@pytest.mark.slow
def test_a_world_that_moves_between_two_weekly_retrainings(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    opinions, reviews = reviewed_opinions(500)
    for review in reviews[-10:]:
        review["metadata"] = {"auto_generated": True}
    put(platform.database, opinions=opinions, feedback=reviews)
    first = platform.with_settings(include_scripted_feedback=True).retrain(config=INCREMENT_CONFIG)
    assert platform.tags(first)["nhm/outcome"] == "promoted", verdicts(first)
    assert trained_in(first).increment is None, "there was nothing to freeze"
    [shown] = first.asset_materializations_for_node("trained_model")
    why = "This is no increment, but a full training: no version of technical-evaluator is in Production"
    assert shown.metadata["increment"].value == why

    add_strict_reviews(platform, 250, end=NOW - timedelta(days=1), days=11, seed=2)
    second = increment(platform)
    assert platform.tags(second)["nhm/outcome"] == "promoted", verdicts(second)
    learned = trained_in(second).increment
    assert learned.frozen == "1"
    assert learned.feedback > 100
    assert learned.log_loss < learned.frozen_log_loss
    shown = second.asset_materializations_for_node("trained_model")[0].metadata
    assert shown["increment"].value == learned.sentence
    assert len(shown["increment_log_loss"].records) == 4
    report: EvaluationReport = second.asset_value(AssetKey("evaluation_report"))
    assert [fold.left_out.split(" of ")[0] for fold in report.folds] == ["the candidate is an increment"] * 2
    assert report.compared_with == "1"
    assert report.scripted_rows == 10, "its own dataset has none, that of the frozen version has them"
    with platform.mlflow.client() as client:
        metrics = client.get_run(report.run_id).data.metrics
    assert metrics["prequential_log_loss"] == pytest.approx(learned.log_loss)
    assert metrics["prequential_log_loss_frozen"] == pytest.approx(learned.frozen_log_loss)

    again = increment_by_hand(platform)
    assert (again.outcome, again.increment) == ("unchanged", learned.sentence)
    assert (again.trained.version, again.trained.increment) == ("2", learned)

    add_strict_reviews(platform, 30, end=NOW, days=1, seed=3)
    with monkeypatch.context() as patched:
        patched.setattr("nhm_assets.training.assets.stage_candidate", died)
        assert not increment(platform).success
    third = increment(platform)
    assert platform.tags(third)["nhm/outcome"] in ("promoted", "held"), verdicts(third)
    later = trained_in(third)
    assert (later.version, later.increment.frozen) == ("3", "1"), "it corrects the full version, and was learned once"
    assert learned.feedback < later.increment.feedback <= learned.feedback + 30

    sunday = platform.with_settings(nhm_now=datetime(2026, 3, 22, 2, tzinfo=UTC))
    weekly = sunday.retrain(week=THIS_WEEK)
    assert platform.tags(weekly)["nhm/outcome"] in ("promoted", "held"), verdicts(weekly)
    assert (trained_in(weekly).version, trained_in(weekly).increment) == ("4", None)


def died(*_: Any, **__: Any) -> None:
    raise RuntimeError("the process died after the registration")
