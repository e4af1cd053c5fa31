"""The search over families: which rows it uses, what it tries first, what it chooses, and the same each time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

import nhm_assets.training.auto_search as module
from nhm_assets.domain.dataset_schema import APPROVE, COMPUTED_FEATURES, FEATURE_NAMES, REJECT, TEST
from nhm_assets.domain.errors import DataError, TooFewRows
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import DEFAULT, FAMILIES, PARAMETERS, named
from nhm_assets.estimators.fitting import fit_model, learning_rows
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import PARAMETERS_TAG, SEARCHED_TAG
from nhm_assets.training import pod_limits
from nhm_assets.training.auto_search import Recall, folds_of, search_families
from nhm_assets.training.search_choice import Asked, Search, Tried, as_calls, choose, f1_with_error, table_rows
from nhm_assets.training.search_picture import draw_search
from nhm_assets.training.serving_contract import BLOCKING
from nhm_assets.training.trial_runs import TrialRuns
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform, verdicts
from tests.support.versions import MODEL

FAST = ("random_forest", "logistic", "extra_trees")


@pytest.fixture(autouse=True, scope="module")
def few_families() -> Iterator[None]:
    """The families that fit fast, with a tenth of their trees; the choice among them goes by the same rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FAMILIES", {name: FAMILIES[name] for name in FAST})
        patch.setattr(module, "fit_model", fit_few_trees)
        yield


def few_trees(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value // 10 if name == "n_estimators" else value for name, value in parameters.items()}


def fit_few_trees(rows: pd.DataFrame, parameters: Mapping[str, Any], **options: Any) -> Any:
    return fit_model(rows, few_trees(parameters), **options)


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


def recalling(tried: Sequence[Tried]) -> Recall:
    """What an interrupted search has tried, as its records say it."""
    records = {one.number: json.loads(json.dumps(asdict(one))) for one in tried}

    def recall(number: int, parameters: Mapping[str, Any]) -> Tried | None:
        known = records.get(number)
        return Tried(**known) if known and known["parameters"] == parameters else None

    return recall


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


@pytest.mark.parametrize("before", [1, 4, 5])
def test_a_search_that_was_interrupted_chooses_what_a_whole_one_does_and_fits_only_what_is_missing(
    rows, searched, before: int, monkeypatch: pytest.MonkeyPatch
):
    fitted: list[Any] = []
    fit = lambda *given, **options: fitted.append(given) or fit_few_trees(*given, **options)  # noqa: E731
    monkeypatch.setattr(module, "fit_model", fit)
    logged: list[Tried] = []
    done = searched.tried[:before]
    found = search_families(rows, trials=5, seconds=600.0, threads=1, log_trial=logged.append, recall=recalling(done))
    assert found == searched
    assert tuple(logged) == searched.tried[before:]
    assert len(fitted) == sum(one.folds for one in logged)


def test_what_other_parameters_have_tried_is_not_recalled(rows, searched):
    other = [
        replace(one, parameters=one.parameters | {"random_state": 7}, calls="1" * len(one.calls))
        for one in searched.tried
    ]
    found = search_families(rows, trials=1, seconds=600.0, threads=1, log_trial=[].append, recall=recalling(other))
    assert found.tried == searched.tried[:1]


def test_the_time_that_an_interrupted_search_took_counts(rows, searched):
    done = [replace(one, spent_s=100.0 * (one.number + 1)) for one in searched.tried[:2]]
    found = search_families(rows, trials=5, seconds=200.0, threads=1, log_trial=[].append, recall=recalling(done))
    assert found.tried == searched.tried[:2]
    assert found.out_of_time


def test_models_that_pods_cannot_have_are_not_chosen_and_the_table_says_so(rows, searched):
    sizes = {one.number: one.megabytes for one in searched.tried if one.megabytes is not None}
    families = {one.number: one.family for one in searched.tried}
    assert all(size < 0.05 for number, size in sizes.items() if families[number] == "logistic")
    logged: list[Tried] = []
    small = partial(search_families, rows, trials=5, seconds=600.0, threads=1, log_trial=logged.append, largest_mb=0.05)
    found = small()
    assert (small(recall=recalling(found.tried)), len(logged)) == (found, len(found.tried)), "after an interruption"
    large = {one.number for one in found.tried if one.too_large}
    assert {families[number] for number in (0, 1, 2) if number in large} == {"random_forest", "extra_trees"}
    assert found.chosen.family == "logistic"
    assert f"{len(large)} of the trials are too large for pods" in found.reason
    fates = {row[0]: row[-2:] for row in table_rows(found)}
    assert {number for number, (_, fate) in fates.items() if fate == "too large for pods"} == large
    assert fates[0] == (sizes[0], "too large for pods")


def test_a_search_without_any_model_that_pods_can_have_says_what_to_do(rows):
    with pytest.raises(DataError, match="at most 1e-05 MB are allowed"):
        search_families(rows, trials=1, seconds=600.0, threads=1, log_trial=[].append, largest_mb=1e-05)


def test_the_size_that_a_trial_says_is_hardly_below_that_of_the_model_of_all_rows(rows, searched):
    for one in searched.tried[:3]:
        parameters = few_trees(one.parameters)
        whole = fit_estimator(learning_rows(rows), parameters, threads=1, calibration="sigmoid").estimator
        assert one.megabytes > 0.9 * len(cloudpickle.dumps(whole, protocol=4)) / 1e6 - 0.01


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


@pytest.mark.exhaustive
def test_on_interactions_the_choice_beats_the_default_on_untouched_test_rows_by_two_standard_errors(monkeypatch):
    monkeypatch.setattr(module, "FAMILIES", FAMILIES)
    monkeypatch.setattr(module, "fit_model", fit_model)
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
    with pytest.raises(TooFewRows, match="set MODEL_FAMILY to one family"):
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


ROWS = Asked(np.arange(300) < 150, np.arange(300))
"""Rows that the trials below were asked about, each of a plan of its own; the first half is approve."""


def tried(number: int, family: str, *missed: range, given_up: bool = False, **other: Any) -> Tried:
    """A trial that calls these rows wrongly, and all others rightly."""
    parameters = named(FAMILIES[family], {**FAMILIES[family].defaults, **other})
    wrong = np.isin(np.arange(300), [row for rows in missed for row in rows])
    calls = as_calls(ROWS.approved ^ wrong)
    return Tried(number, parameters, 1 if given_up else 3, *ROWS.f1(calls), given_up, calls, 0.0)


FOREST, LOGISTIC = tried(0, "random_forest", range(40)), tried(1, "logistic", range(60))


@pytest.mark.parametrize(
    ("more", "chosen"),
    [
        # Of the forest's 40 mistakes it makes 39: that may be chance. Of ten fewer, none is new: that is not.
        ([], 0),
        ([tried(2, "hist_gradient_boosting", range(39))], 0),
        ([tried(2, "hist_gradient_boosting", range(30))], 2),
        # Five fewer, but on other plans: the two differ by less than one standard error.
        ([tried(2, "hist_gradient_boosting", range(100, 135))], 0),
        ([tried(2, "hist_gradient_boosting", range(3), given_up=True)], 0),
        ([tried(2, "logistic", range(38), C=9.0)], 2),
        ([tried(2, "random_forest", range(39), max_depth=4)], 0),
        ([tried(2, "random_forest", range(20), max_depth=4), tried(3, "random_forest", range(19), max_depth=5)], 3),
        ([tried(2, "voting", range(39))], 0),
        ([tried(2, "voting", range(30))], 2),
        ([tried(2, "voting", range(30)), tried(3, "stacking", range(29))], 2),
        ([tried(2, "voting", range(100, 135)), tried(3, "stacking", range(30))], 3),
    ],
)
def test_the_simplest_within_one_standard_error_is_chosen_and_an_ensemble_only_if_it_is_better_than_all(more, chosen):
    found = choose([FOREST, LOGISTIC, *more], ROWS, out_of_time=False)
    assert found.chosen.number == chosen
    assert f"(trial {chosen})" in found.reason
    shown = list(table_rows(found))
    assert sorted(row[0] for row in shown) == list(range(len(more) + 2))
    assert [row[0] for row in shown if row[-1] == "chosen"] == [chosen]


def test_the_error_of_a_difference_is_that_of_the_same_plans_drawn_for_both():
    draw = np.random.default_rng(5)
    approved, plans = draw.random(600) < 0.5, np.arange(600) // 3
    one = np.where(draw.random(600) < 0.8, approved, ~approved)
    other = np.where(draw.random(600) < 0.9, one, ~one)
    asked = Asked(approved, plans)

    def drawn() -> float:
        rows = (draw.integers(200, size=200)[:, None] * 3 + np.arange(3)).ravel()
        scores = [f1_with_error(approved[rows], called[rows], plans[rows])[0] for called in (one, other)]
        return scores[0] - scores[1]

    error = asked.difference_error(as_calls(one), as_calls(other))
    assert error == pytest.approx(np.std([drawn() for _ in range(500)]), rel=0.15)
    own = [asked.f1(as_calls(called))[1] for called in (one, other)]
    assert error < 0.8 * np.hypot(*own), "what is paired differs less"
    assert asked.difference_error(as_calls(one), as_calls(one)) == 0.0


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


@pytest.mark.servers
def test_an_automatic_run_that_was_interrupted_goes_on_and_shows_what_was_tried_and_what_pods_cannot_have_is_refused(
    platform: Platform, rows, searched, monkeypatch: pytest.MonkeyPatch
):
    store_dataset(platform, rows)
    auto = platform.with_settings(min_real_samples=240, model_family="auto", tuning_trials=len(searched.tried))
    with monkeypatch.context() as patch:
        dies_in_trial(3, patch)
        assert not auto.retrain(only=["trained_model"]).success
    fitted: list[Tried] = []
    log = TrialRuns.log
    monkeypatch.setattr(TrialRuns, "log", lambda self, *what: fitted.append(what[0]) or log(self, *what))
    result = auto.retrain(only=["trained_model"])
    assert result.success
    assert fitted == [3, 4]
    metadata = result.asset_materializations_for_node("trained_model")[0].metadata
    assert metadata["search"].value == searched.reason
    assert len(metadata["trials"].records) == len(searched.tried)
    assert "data:image/svg+xml" in metadata["search_picture"].value
    with platform.mlflow.client() as client:
        (version,) = all_versions(client, MODEL)
        assert json.loads(version.tags[PARAMETERS_TAG]) == searched.chosen.parameters
        assert version.tags[SEARCHED_TAG] == "true"
        run = client.get_run(version.run_id)
        trials = client.search_runs([run.info.experiment_id], "tags.`nhm.search` LIKE '%'")
        assert {one.data.tags["mlflow.parentRunId"] for one in trials} == {version.run_id}
        assert sorted(one.info.run_name for one in trials) == [f"trial {one.number}" for one in searched.tried]
        assert {one.data.metrics["f1"] for one in trials} == {one.f1 for one in searched.tried}
        folders = ("search", "pictures")
        files = {file.path for folder in folders for file in client.list_artifacts(version.run_id, folder)}
        assert files >= {"search/trials.json", "pictures/search.svg"}
    monkeypatch.setattr(pod_limits, "LARGEST_MB", 0.001)
    assert refused(auto) == ["fits_into_pods"]
    monkeypatch.undo()
    (file,) = platform.settings.nhm_home.rglob("model.pkl")
    file.write_bytes(b"tampered")
    assert refused(auto) == sorted(BLOCKING)
    with platform.mlflow.client() as client:
        assert [one.current_stage for one in all_versions(client, MODEL)] == ["Staging"]


def refused(platform: Platform) -> list[str]:
    """The blocking checks that stop a run of the version that exists, before anything judges or promotes it."""
    result = platform.retrain(only=["trained_model", "evaluation_report", "promoted_version"])
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert not result.success
    assert made == {"trained_model"}
    return sorted(name for name, passed in verdicts(result).items() if name in BLOCKING and not passed)


def dies_in_trial(number: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die when this trial is logged, but not yet finished."""
    from mlflow import MlflowClient

    logged: list[str] = []
    log_text = MlflowClient.log_text

    def log(self: MlflowClient, run_id: str, *what: Any) -> None:
        logged.append(run_id)
        if len(logged) > number:
            raise KeyboardInterrupt
        log_text(self, run_id, *what)

    patch.setattr(MlflowClient, "log_text", log)
