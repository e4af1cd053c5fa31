"""The search over families: which rows it uses, what it tries first, what it chooses, and the same each time."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nhm_assets.training.auto_search as module
from nhm_assets.domain.dataset_schema import APPROVE, COMPUTED_FEATURES, FEATURE_NAMES, REJECT, TEST
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.families import DEFAULT, FAMILIES, PARAMETERS, named
from nhm_assets.estimators.fitting import fit_model, learning_rows
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import PARAMETERS_TAG
from nhm_assets.training.auto_search import Search, Tried, f1_with_error, folds_of, search_families, table_rows
from nhm_assets.training.search_picture import draw_search
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform
from tests.support.versions import MODEL

FAST = ("random_forest", "logistic", "extra_trees")


@pytest.fixture(autouse=True, scope="module")
def few_families() -> Iterator[None]:
    """The families that fit fast; the choice among them goes by the same rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FAMILIES", {name: FAMILIES[name] for name in FAST})
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Rows of plans of two, with so much noise that a choice could go either way."""
    frame = learnable(400, noise=0.35)
    return frame.assign(plan_id=[f"plan-{number // 2}" for number in range(len(frame))])


@pytest.fixture(scope="module")
def searched(rows: pd.DataFrame, few_families: None) -> Search:
    return search(rows)


def search(frame: pd.DataFrame, trials: int = 5, *, threads: int = 1, seconds: float = 600.0) -> Search:
    logged: list[Tried] = []
    found = search_families(frame, trials=trials, seconds=seconds, threads=threads, log_trial=logged.append)
    assert tuple(logged) == found.tried
    return found


def summed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose class follows from the sum of six features."""
    total = rows[list(COMPUTED_FEATURES[:6])].sum(axis=1)
    return rows.assign(label=np.where(total > total.median(), APPROVE, REJECT))


def crossed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose class follows from two features together, and from none of them alone."""
    signs = (rows["risk_score"] > 0.5) != (rows["complexity_score"] > 0.5)
    others = dict.fromkeys([name for name in COMPUTED_FEATURES if name not in ("risk_score", "complexity_score")], 0.0)
    return rows.assign(**others, label=np.where(signs, APPROVE, REJECT))


def test_the_folds_never_ask_about_test_rows_or_rows_that_fold_1_of_the_gate_asks_about(rows):
    segments = segments_of(rows)
    folds = folds_of(rows)
    assert len(folds) == 3
    assert [set(segments[fold.asked.index]) for fold in folds] == [{0}, {2}, {2}]
    for fold in folds:
        assert not set(fold.learned["plan_id"]) & set(fold.asked["plan_id"])
        assert fold.learned["submitted_at"].max() < fold.asked["submitted_at"].min()
        assert TEST not in {*fold.learned["split"], *fold.asked["split"]}
    asked = pd.concat([fold.asked for fold in folds])
    assert asked.index.is_unique


def test_synthetic_rows_are_learned_and_never_asked(rows):
    frame = rows.assign(source=np.where(np.arange(len(rows)) < 100, "synthetic", "real"))
    folds = folds_of(frame)
    assert {source for fold in folds for source in fold.asked["source"]} == {"real"}
    assert all((fold.learned["source"] == "synthetic").sum() == 100 for fold in folds)


def test_the_families_with_their_defaults_are_tried_first_and_the_default_family_before_all(searched):
    first = searched.tried[:3]
    assert [one.parameters for one in first] == [named(FAMILIES[name], FAMILIES[name].defaults) for name in FAST]
    assert searched.tried[0].parameters == PARAMETERS
    assert not searched.out_of_time


def test_the_same_rows_result_in_the_same_choice_with_any_threads(rows, searched):
    assert search(rows, threads=2) == searched
    assert len({tuple(trial.parameters.items()) for trial in searched.tried}) == 5


def test_a_canary_that_only_test_rows_carry_changes_no_choice(rows, searched):
    """A column that says the label, readable in test rows alone, and other labels there."""
    here = rows["split"] == TEST
    canary = rows.assign(label=rows["label"].mask(here, (rows["label"] + 1) % 3))
    said = canary["label"].astype("float64")
    canary = canary.assign(**{name: rows[name].mask(here, said * 1000.0) for name in COMPUTED_FEATURES})
    assert search(canary) == searched


def test_labels_that_the_folds_ask_about_change_what_is_found(rows, searched):
    validation = rows["split"] == "validation"
    changed = rows.assign(label=rows["label"].mask(validation, (rows["label"] + 1) % 3))
    assert search(changed, trials=1).tried[0] != searched.tried[0]


def test_where_two_features_decide_together_trees_are_chosen_and_where_each_says_its_part_the_simplest():
    alone = search(summed(learnable(400)), trials=3)
    assert alone.chosen.family == min(FAST, key=lambda name: FAMILIES[name].complexity) == "logistic"
    together = search(crossed(learnable(400, noise=0)), trials=3)
    assert together.chosen.family != "logistic"
    assert together.chosen.f1 > together.tried[FAST.index("logistic")].f1 + 0.1


@pytest.mark.slow
def test_on_interactions_the_choice_beats_the_default_on_untouched_test_rows_by_two_standard_errors(monkeypatch):
    monkeypatch.setattr(module, "FAMILIES", FAMILIES)
    rows = learnable(1500, noise=0)
    high = rows[list(COMPUTED_FEATURES[:4])].to_numpy() > 0.5
    turned = np.random.default_rng(1).random(len(rows)) < 0.05
    decided = (high[:, 0] ^ high[:, 1]) | (high[:, 2] & high[:, 3])
    frame = rows.assign(label=np.where(decided ^ turned, APPROVE, REJECT))
    test = frame[frame["split"] == TEST]

    def scored(parameters: dict[str, Any]) -> tuple[float, float]:
        model = fit_model(learning_rows(frame), parameters, threads=1)
        called = model.predict(test[list(FEATURE_NAMES)]) == "approve"
        return f1_with_error((test["label"] == APPROVE).to_numpy(), called, test["plan_id"].to_numpy())

    default, error = scored(PARAMETERS)
    chosen, _ = scored(search(frame, trials=6).chosen.parameters)
    assert chosen > default + 2 * error


def test_when_the_time_is_over_no_trial_begins_and_the_reason_says_so(rows):
    found = search(rows, seconds=1e-9)
    assert len(found.tried) == 1
    assert found.tried[0].family == DEFAULT.name
    assert found.out_of_time
    assert "TUNING_SECONDS ended the search" in found.reason


def test_too_few_rows_to_compare_families_on_are_refused_with_a_remedy():
    with pytest.raises(DataError, match="set MODEL_FAMILY to one family"):
        search(learnable(30))


def test_the_error_of_f1_is_that_of_drawing_other_plans():
    draw = np.random.default_rng(3)
    approved = draw.random(600) < 0.5
    called = np.where(draw.random(600) < 0.8, approved, ~approved)
    plans = np.arange(600) // 3
    f1, error = f1_with_error(approved, called, plans)

    def drawn() -> float:
        rows = (draw.integers(200, size=200)[:, None] * 3 + np.arange(3)).ravel()
        return f1_with_error(approved[rows], called[rows], plans)[0]

    assert error == pytest.approx(np.std([drawn() for _ in range(2000)]), rel=0.1)
    assert f1 == pytest.approx(2 * (approved & called).sum() / (approved.sum() + called.sum()))
    assert f1_with_error(approved[:0], called[:0], plans[:0]) == (0.0, 0.0)


def tried(number: int, family: str, f1: float, *, error: float = 0.02, given_up: bool = False, **other: Any) -> Tried:
    parameters = named(FAMILIES[family], {**FAMILIES[family].defaults, **other})
    return Tried(number, parameters, 1 if given_up else 3, f1, error, given_up)


FOREST, LOGISTIC = tried(0, "random_forest", 0.80), tried(1, "logistic", 0.70)


@pytest.mark.parametrize(
    ("more", "chosen"),
    [
        ([], 0),
        ([tried(2, "hist_gradient_boosting", 0.82)], 0),
        ([tried(2, "hist_gradient_boosting", 0.821)], 2),
        ([tried(2, "hist_gradient_boosting", 0.9, given_up=True)], 0),
        ([tried(2, "logistic", 0.78, C=9.0)], 2),
        ([tried(2, "random_forest", 0.82, max_depth=4)], 0),
        ([tried(2, "random_forest", 0.83, max_depth=4), tried(3, "random_forest", 0.84, max_depth=5)], 3),
        ([tried(2, "voting", 0.82)], 0),
        ([tried(2, "voting", 0.83)], 2),
        ([tried(2, "voting", 0.83), tried(3, "stacking", 0.84)], 2),
        ([tried(2, "voting", 0.81, error=0.03), tried(3, "stacking", 0.84)], 3),
    ],
)
def test_the_simplest_within_one_standard_error_is_chosen_and_an_ensemble_only_if_it_is_better_than_all(more, chosen):
    found = module._search([FOREST, LOGISTIC, *more], 300, out_of_time=False)
    assert found.chosen.number == chosen
    assert f"(trial {chosen})" in found.reason
    shown = list(table_rows(found))
    assert sorted(row[0] for row in shown) == list(range(len(more) + 2))
    assert [row[0] for row in shown if row[-1] == "chosen"] == [chosen]


def test_a_trial_far_behind_is_given_up(rows, monkeypatch: pytest.MonkeyPatch):
    """As many trials as there are families end before anybody is given up."""
    useless = lambda _, trial: {"C": trial.suggest_float("C", 1e-9, 2e-9)}  # noqa: E731
    monkeypatch.setattr(type(FAMILIES["logistic"]), "search_space", useless)
    monkeypatch.setattr(module, "FAMILIES", {name: FAMILIES[name] for name in ("random_forest", "logistic")})
    found = search(learnable(400, noise=0.05), trials=6)
    given_up = [one for one in found.tried if one.given_up]
    assert given_up
    assert all(one.folds < 3 and one.number >= 2 for one in given_up)
    assert not found.chosen.given_up


def test_the_picture_names_the_families(searched):
    svg = draw_search(searched).decode()
    assert all(name in svg for name in FAST)


def test_an_automatic_run_shows_what_was_tried_and_trains_with_what_was_chosen(platform: Platform, rows, searched):
    store_dataset(platform, rows)
    auto = platform.with_settings(min_real_samples=240, model_family="auto", tuning_trials=len(searched.tried))
    result = auto.retrain(only=["trained_model"])
    assert result.success
    metadata = result.asset_materializations_for_node("trained_model")[0].metadata
    assert metadata["search"].value == searched.reason
    assert len(metadata["trials"].records) == len(searched.tried)
    assert "data:image/svg+xml" in metadata["search_picture"].value
    with platform.mlflow.client() as client:
        (version,) = all_versions(client, MODEL)
        assert json.loads(version.tags[PARAMETERS_TAG]) == searched.chosen.parameters
        run = client.get_run(version.run_id)
        nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
        assert sorted(one.info.run_name for one in nested) == [f"trial {one.number}" for one in searched.tried]
        assert {one.data.metrics["f1"] for one in nested} == {one.f1 for one in searched.tried}
        folders = ("search", "pictures")
        files = {file.path for folder in folders for file in client.list_artifacts(version.run_id, folder)}
        assert files >= {"search/trials.json", "pictures/search.svg"}
    assert auto.retrain(only=["trained_model"]).success
    with platform.mlflow.client() as client:
        assert len(all_versions(client, MODEL)) == 1
