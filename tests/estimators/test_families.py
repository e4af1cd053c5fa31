"""Each family: one estimator of scikit-learn, always three classes, the same with any threads, loadable in pods."""

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.class_order import SERVED_ORDERS
from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, EMBEDDING_FEATURES, FEATURE_NAMES, LLM, REJECT
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import DEFAULT, FAMILIES, PARAMETERS, family_of, named, own_parameters
from nhm_assets.estimators.families.examples import Examples
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.estimators.increment import learn_increment
from nhm_assets.registry.pickled_names import foreign_names
from tests.support.learnable import ALL_CLASSES, learnable
from tests.support.processes import ROOT
from tests.support.pythons import serving_numpy, serving_pythons
from tests.support.small_families import ENSEMBLES, make_members_small, small

ROWS = learnable(240, noise=0.2)
ASKED = learnable(60, seed=7)[list(FEATURE_NAMES)]
NAMES = list(FAMILIES)
PROTOCOL = 4
"""With which MLflow pickles."""


@pytest.fixture(autouse=True, scope="module")
def small_members() -> Iterator[None]:
    """The members of ensembles are small, too."""
    with pytest.MonkeyPatch.context() as patch:
        make_members_small(patch)
        yield


@pytest.fixture(scope="module")
def fitted(small_members: None) -> dict[str, Any]:
    """A calibrated model of each family."""
    return {name: fit_estimator(ROWS, small(name), threads=1, calibration="sigmoid").estimator for name in NAMES}


def saved(model: Any) -> bytes:
    return cloudpickle.dumps(model, protocol=PROTOCOL)


def test_the_default_family_is_the_forest_and_its_parameters_name_no_family():
    assert named(DEFAULT, DEFAULT.defaults) == PARAMETERS
    assert "family" not in PARAMETERS
    assert NAMES[0] == DEFAULT.name == "random_forest"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_say_of_which_family_they_are(name: str):
    parameters = named(FAMILIES[name], FAMILIES[name].defaults)
    assert family_of(parameters) is FAMILIES[name]
    assert own_parameters(parameters) == dict(FAMILIES[name].defaults)
    assert json.loads(json.dumps(parameters)) == parameters


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("served", "classes"), [("names", ALL_CLASSES), ("names", (REJECT, APPROVE)), ("codes", (1, 2))]
)
def test_there_are_always_three_probabilities_in_the_order_that_is_read(name: str, served: Any, classes: tuple):
    model = fit_model(learnable(90, classes=classes, noise=0), small(name), threads=1, served=served)
    found = model.predict_proba(ASKED)
    order = [CLASS_NAMES.index(label) for label in SERVED_ORDERS[served]]
    assert list(model.classes_) == (list(SERVED_ORDERS[served]) if served == "names" else order)
    assert found.shape == (len(ASKED), 3)
    assert found.sum(axis=1) == pytest.approx(1)
    absent = [column for column, label in enumerate(order) if label not in classes]
    assert (found[:, absent] < 0.05).all()
    predicted = np.array(order)[found.argmax(axis=1)]
    decided = learnable(60, seed=7, classes=classes, noise=0)["label"].to_numpy()
    assert (predicted == decided).mean() > 0.75


@pytest.mark.parametrize("name", NAMES)
def test_the_threads_of_the_fit_do_not_change_a_byte(name: str):
    one, two = (saved(fit_model(ROWS, small(name), threads=threads)) for threads in (1, 2))
    assert one == two


_DIGESTS = """
import hashlib, os, sys
os.sched_setaffinity(0, [int(core) for core in sys.argv[1].split(",")])
import pytest
from nhm_assets.training.auto_search import search_families
from tests.estimators.test_families import NAMES, ROWS, fit_estimator, incremented, saved
from tests.support.small_families import make_members_small, small
make_members_small(pytest.MonkeyPatch())
cores = len(os.sched_getaffinity(0))
fit = lambda parameters: fit_estimator(ROWS, parameters, threads=cores, calibration="sigmoid").estimator
models = {name: fit(small(name)) for name in NAMES}
models |= {f"increment of {name}": incremented(models[name]) for name in NAMES}
found = search_families(ROWS, trials=len(NAMES) + 1, seconds=1e9, threads=cores, log_trial=lambda _: None)
models["auto"] = fit(found.chosen.parameters)
for name, model in models.items():
    print(name, hashlib.sha256(saved(model)).hexdigest())
print([(one.parameters, one.calls) for one in found.tried])
"""


@pytest.mark.slow
def test_the_cores_of_the_machine_do_not_change_a_byte():
    """Of any family, of an increment, and of what a search chooses; nor what its trials answer."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    found = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _DIGESTS, ",".join(map(str, some))],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
        for some in (cores[:1], cores)
    ]
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == 2 * len(NAMES) + 2


@pytest.mark.servers
@pytest.mark.parametrize("name", NAMES)
def test_it_answers_one_row_as_many_and_embeddings_may_be_missing_or_not(fitted: dict[str, Any], name: str):
    model = fitted[name]
    many = model.predict_proba(ASKED)
    alone = np.vstack([model.predict_proba(ASKED.iloc[[row]]) for row in range(5)])
    assert np.abs(many[:5] - alone).max() < 1e-12
    assert np.isfinite(model.predict_proba(ASKED.assign(**dict.fromkeys(EMBEDDING_FEATURES, 2.0)))).all()
    nothing = pd.DataFrame(np.nan, index=[0], columns=list(FEATURE_NAMES))
    assert np.isfinite(model.predict_proba(nothing)).all()


@pytest.mark.parametrize("name", ["random_forest", "hist_gradient_boosting", "logistic"])
def test_rows_of_a_language_model_count_as_much_as_their_weight_says(name: str):
    """With a hundredth of the weight, rows that are all rejected hardly make a model reject more."""
    mixed = pd.concat([learnable(240, seed=5, label=REJECT, source=LLM, split="train"), ROWS], ignore_index=True)
    means = {}
    for weight in (1.0, 0.01):
        model = fit_model(mixed, small(name) | {"llm_weight": weight}, threads=1)
        means[weight] = model.predict_proba(ASKED)[:, list(model.classes_).index("reject")].mean()
    assert means[1.0] > means[0.01] + 0.05


def test_the_weights_without_such_rows_are_those_of_ever():
    assert Examples(ROWS, "names", 0.3).weights is None
    assert own_parameters(PARAMETERS | {"llm_weight": 0.3}) == PARAMETERS
    mixed = ROWS.assign(source=[LLM, "real"] * 120)
    assert set(Examples(mixed, "names", 0.3).weights) == {0.3, 1.0}
    older, newer = Examples(mixed, "names", 0.3).by_time()
    assert (set(older.weights), newer.weights) == ({0.3, 1.0}, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [2, 4])
def test_very_few_rows_result_in_probabilities(name: str, count: int):
    rows = learnable(count, label=np.array([APPROVE, REJECT])[np.arange(count) % 2])
    found = fit_model(rows, small(name), threads=1).predict_proba(ASKED)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_names_nothing_that_pods_lack(fitted: dict[str, Any], name: str, tmp_path: Path):
    file = tmp_path / "model.pkl"
    file.write_bytes(saved(fitted[name]))
    assert foreign_names(file) == []


def test_an_ensemble_has_the_other_families_as_members(fitted: dict[str, Any]):
    for name, model in fitted.items():
        members = FAMILIES[name].members(model.estimator)
        assert list(members) == ([one for one in NAMES if one not in ENSEMBLES] if name in ENSEMBLES else [])


def test_a_voting_answers_the_weighted_mean_of_its_members():
    parameters = small("voting") | {"weight_logistic": 3}
    model = fit_model(ROWS, parameters, threads=1)
    weights = FAMILIES["voting"].weights(parameters)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["logistic"] == pytest.approx(0.5)
    members = FAMILIES["voting"].members(model)
    mean = sum(weights[name] * member.predict_proba(ASKED) for name, member in members.items())
    assert model.predict_proba(ASKED) == pytest.approx(mean, abs=1e-12)


def test_the_members_of_an_ensemble_are_the_models_that_their_families_fit():
    model = fit_model(ROWS, small("stacking"), threads=1)
    for name, member in FAMILIES["stacking"].members(model).items():
        alone = fit_model(ROWS, small(name), threads=1)
        assert np.array_equal(member.predict_proba(ASKED), alone.predict_proba(ASKED)), name


def test_the_top_of_a_stack_learns_from_newer_plans_than_its_members_did():
    rows = ROWS.assign(plan_id=[f"plan-{number // 2}" for number in range(len(ROWS))])
    older, newer = Examples(rows, "names").by_time()
    assert len(older.rows) + len(newer.rows) == len(rows)
    assert older.rows["submitted_at"].max() <= newer.rows["submitted_at"].min()
    assert not set(older.rows["plan_id"]) & set(newer.rows["plan_id"])
    made_up = rows.assign(source=np.where(np.arange(len(rows)) < 40, "real", "synthetic"))
    assert set(Examples(made_up, "names").by_time()[1].rows["source"]) == {"real"}


@pytest.mark.parametrize("name", NAMES)
def test_the_search_space_changes_only_parameters_that_the_family_has(name: str):
    class Lowest:
        def suggest_int(self, _: str, low: int, __: int, *, log: bool = False) -> int:  # noqa: ARG002
            return low

        def suggest_float(self, _: str, low: float, __: float, *, log: bool = False) -> float:  # noqa: ARG002
            return low

    found = FAMILIES[name].search_space(Lowest())
    assert found
    assert found.keys() <= FAMILIES[name].defaults.keys()


_LOAD = """
import json, pickle, sys
import numpy, pandas, sklearn
frame = pandas.DataFrame(json.load(sys.stdin), dtype="float64")
answers = {}
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        model = pickle.load(file)
    alone = [model.predict_proba(frame.iloc[[row]])[0].tolist() for row in range(3)]
    answers[path] = [model.predict_proba(frame).tolist(), alone]
minor = ".".join(map(str, sys.version_info[:2]))
print(json.dumps([minor, sklearn.__version__, numpy.__version__, answers]))
"""


def incremented(frozen: Any) -> Any:
    """What serves after an increment of this model, in a world where approve and reject have changed places."""
    moved = ROWS.assign(label=ROWS["label"].map({APPROVE: REJECT, REJECT: APPROVE, 2: 2}))
    estimator, _ = learn_increment(frozen, ROWS, moved.iloc[:40], served="names")
    assert np.abs(estimator.predict_proba(ASKED) - frozen.predict_proba(ASKED)).max() > 0.01
    return estimator


@pytest.mark.servers
def test_each_family_answers_in_the_specialists_environment_as_here(fitted: dict[str, Any], tmp_path: Path):
    if not serving_pythons()[0].exists():
        pytest.skip("the serving environment is missing: `make test` creates it")
    models = fitted | {f"increment of {name}": incremented(fitted[name]) for name in (DEFAULT.name, "stacking")}
    files = {name: tmp_path / f"{name}.pkl" for name in models}
    for name, file in files.items():
        file.write_bytes(saved(models[name]))
        assert foreign_names(file) == []
    asked = json.dumps(ASKED.astype(object).where(ASKED.notna(), None).to_dict("list"))
    for python in serving_pythons():
        command = [str(python), "-W", "ignore", "-c", _LOAD, *map(str, files.values())]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        minor, sklearn, numpy, answers = json.loads(done.stdout)
        assert (sklearn, numpy) == ("1.5.2", serving_numpy(minor))
        for name, file in files.items():
            many, alone = answers[str(file)]
            expected = models[name].predict_proba(ASKED)
            assert np.abs(expected - many).max() < 1e-12, name
            assert np.abs(expected[:3] - alone).max() < 1e-12, name


def test_a_pickle_gives_the_same_answers_here(fitted: dict[str, Any]):
    for name, model in fitted.items():
        again = pickle.load(io.BytesIO(saved(model)))  # noqa: S301 - it is ours
        assert np.array_equal(again.predict_proba(ASKED), model.predict_proba(ASKED)), name
