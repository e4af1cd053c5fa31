"""What families and the search over them gain, for docs/models.md; each part prints its figures.

    python -m benchmarks.families made [ROWS]      every family, and the search, on two kinds of made-up rows
    python -m benchmarks.families table [FOLDER]   F1, size, time and memory of every family, on documents as below or,
                                                   without FOLDER, on 50 days of the demo's
    python -m benchmarks.families field FOLDER     the search on the newest week of documents as `nhm seed --from` reads
    python -m benchmarks.families noise FIRST LAST the search on reviewers like those of `behavior`, through the gate

`make bench` leaves it out, since it takes an hour. TUNING_TRIALS sets the number of trials.
"""

import logging
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.calibration import frames
from nhm_assets.demo.documents import HOPELESS, HOPELESS_DISAGREEMENT
from nhm_assets.domain.class_order import by_label, own_order
from nhm_assets.domain.dataset_schema import (
    APPROVE,
    CLASS_NAMES,
    COMPUTED_FEATURES,
    FEATURE_NAMES,
    REAL,
    REJECT,
    REVIEWER,
    TEST,
    conform,
    data_version,
)
from nhm_assets.domain.fold_records import Reference
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import TrainedModel
from nhm_assets.domain.segments import segments_of
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import FAMILIES, PARAMETERS, named
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.evaluation.folds import asked_rows, fit_folds
from nhm_assets.evaluation.gate import GateRules, failed_gate, judge, needs_folds
from nhm_assets.evaluation.metrics import predict_labels
from nhm_assets.evaluation.pooling import pool, with_comparison, with_folds
from nhm_assets.evaluation.report import build_report
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.settings import Settings
from nhm_assets.training.auto_search import search_families
from nhm_assets.training.pod_limits import judge_contents, measured_load
from nhm_assets.training.search_choice import Asked, Search, as_calls

PARTITION: Final = Partition.parse("2026-11-15", HOPELESS)
ROWS: Final = 1_500
NOISE_ROWS: Final = 1_200
DEMO_DAYS: Final = 50
"""Of the demo, about 2,000 rows of each specialist."""
_TURNED: Final = 0.05
_DRAWN: Final = 0.2


def made(rows: int) -> None:
    """A line per family, and one for what the search chose, on rows of each kind."""
    for kind, frame in (("one feature decides", one_decides(rows)), ("pairs decide", pairs_decide(rows))):
        print(kind)
        for name, family in FAMILIES.items():
            started = time.process_time()
            calls = tested(frame, named(family, family.defaults))
            print(f"  {name:<24} {line(frame, calls)}  {time.process_time() - started:.1f} s", flush=True)
        compared(frame)


def field(folder: Path) -> None:
    """What the search chose for each specialist, beside the default."""
    for specialist, frame in zip(all_specialists(), islice(frames(folder), len(all_specialists())), strict=True):
        print(specialist)
        compared(frame)


def table(folder: Path | None) -> None:
    """The tables of docs/models.md: a row per family, with its defaults and with the largest values of its search."""
    import mlflow

    # Its import sets the level of its own loggers.
    logging.getLogger(mlflow.__name__).setLevel(logging.ERROR)
    datasets = islice(frames(folder, days=None if folder else DEMO_DAYS), len(all_specialists()))
    found = list(zip(all_specialists(), datasets, strict=True))
    print(f"{min(len(frame) for _, frame in found)} to {max(len(frame) for _, frame in found)} rows")
    print(f"| Family | {' | '.join(str(specialist) for specialist, _ in found)} | MB | ms | memory, MB |")
    print(f"|{'---|' * (len(found) + 4)}")
    for family in FAMILIES.values():
        asked = [asked_of(frame, named(family, family.defaults)) for _, frame in found]
        print(f"| `{family.name}` | {' | '.join(f1 for f1, _ in asked)} | {costs([cost for _, cost in asked])} |")
    print("\n| Largest that a search tries | MB | ms | memory, MB |\n|---|---|---|---|")
    for family in FAMILIES.values():
        largest = named(family, {**family.defaults, **family.search_space(Largest())})
        print(f"| `{family.name}` | {costs([asked_of(found[0][1], largest)[1]])} |", flush=True)


class Largest:
    """A trial that makes models as large as they may become."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:  # noqa: ARG002
        """Most rounds, and the smallest leaves."""
        return low if name.startswith("min_") else high

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        """The least that holds a model back."""
        return low if name.startswith("l2_") else high


def asked_of(frame: pd.DataFrame, parameters: dict[str, Any]) -> tuple[str, tuple[float, float, float]]:
    """F1 on the test rows with its standard error; megabytes, milliseconds and memory as the checks measure them."""
    import mlflow
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model = fitted(frame, learning_rows(frame), parameters)
    rows = frame.loc[frame["split"] == TEST, list(FEATURE_NAMES)]
    answers = model.predict_proba(rows)
    f1, error = test_rows(frame).f1(as_calls(by_label(answers, own_order(model)).argmax(axis=1) == APPROVE))
    with tempfile.TemporaryDirectory() as folder:
        # Otherwise MLflow makes a database in the working directory.
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        files = Path(folder) / "model"
        mlflow.sklearn.save_model(
            model,
            files,
            signature=infer_signature(rows, answers),
            pyfunc_predict_fn="predict_proba",
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
        contents, load = judge_contents(files), measured_load(files)
    shown = f"{f1:.3f} ({error:.3f})".replace("(0", "(")
    return shown, (contents.figures["megabytes"], load.milliseconds, load.memory_mb or np.nan)


def costs(of: list[tuple[float, float, float]]) -> str:
    """The largest of each."""
    megabytes, milliseconds, memory = (max(values) for values in zip(*of, strict=True))
    return f"{megabytes:.2f} | {milliseconds:.1f} | {memory:.0f}"


def noise(seeds: range) -> int:
    """How many of the candidates that the search chose the gate would promote, with no champion."""
    promoted = 0
    for seed in seeds:
        frame = noisy(seed)
        found = searched(frame)
        failed = held_by(frame, found.chosen.parameters)
        promoted += not failed
        chosen = f"{found.chosen.family} F1 {found.chosen.f1:.3f}, best {found.best.family} F1 {found.best.f1:.3f}"
        print(f"  {seed}: {chosen}; {', '.join(failed) or 'PROMOTED'}", flush=True)
    print(f"{promoted} of {len(seeds)} promoted")
    return promoted


def compared(frame: pd.DataFrame) -> tuple[float, float]:
    """F1 of what the search chose minus that of the default on the test rows, and the standard error of that."""
    started = time.process_time()
    found = searched(frame)
    seconds = time.process_time() - started
    default, chosen = tested(frame, PARAMETERS), tested(frame, found.chosen.parameters)
    asked = test_rows(frame)
    difference = asked.f1(chosen)[0] - asked.f1(default)[0]
    print(f"  {found.reason}")
    print(f"  default {line(frame, default)}; auto {line(frame, chosen)}, {found.chosen.family}; {seconds:.0f} s")
    error = asked.difference_error(chosen, default)
    print(f"  difference {difference:+.3f}, its standard error {error:.3f}", flush=True)
    return difference, error


def searched(frame: pd.DataFrame) -> Search:
    trials = Settings.load().tuning_trials
    return search_families(frame, trials=trials, seconds=1e9, threads=1, log_trial=lambda _: None)


def test_rows(frame: pd.DataFrame) -> Asked:
    rows = frame[frame["split"] == TEST]
    return Asked((rows["label"] == APPROVE).to_numpy(), rows["plan_id"].to_numpy())


def tested(frame: pd.DataFrame, parameters: dict[str, Any]) -> str:
    """What the calibrated model of these parameters calls the test rows."""
    return as_calls(predict_labels(probabilities(frame, parameters)) == APPROVE)


def line(frame: pd.DataFrame, calls: str) -> str:
    f1, error = test_rows(frame).f1(calls)
    return f"F1 {f1:.3f} ({error:.3f})"


def fitted(frame: pd.DataFrame, rows: pd.DataFrame, parameters: dict[str, Any]) -> Any:
    segments = segments_of(frame)[rows.index]
    return fit_estimator(rows, parameters, threads=1, segments=segments, calibration="auto").estimator


def probabilities(frame: pd.DataFrame, parameters: dict[str, Any]) -> np.ndarray:
    """Those of the test rows, as `evaluation_report` has them."""
    model = fitted(frame, learning_rows(frame), parameters)
    return by_label(model.predict_proba(frame.loc[frame["split"] == TEST, list(FEATURE_NAMES)]), own_order(model))


def held_by(frame: pd.DataFrame, parameters: dict[str, Any]) -> list[str]:
    """The failed checks of the product's gate, as an evaluation of this candidate without a champion records them."""
    rules = GateRules.of(Settings(), HOPELESS)
    candidate = probabilities(frame, parameters)
    report = build_report(frame, candidate_of(frame, parameters), candidate, importances={}, champion=None)
    asked = asked_rows(frame, rules.gate_folds)
    if needs_folds(report, rules):
        folds, predicted = fit_folds(
            frame, lambda rows: fitted(frame, rows, parameters), folds=rules.gate_folds, tuned=True
        )
        pooled = pool(asked, candidate, predicted, None)
        nobody = Reference(weeks=rules.reference_weeks, reason="there is no version in Production")
        report, _ = with_comparison(with_folds(report, pooled, folds, nobody), pooled, rules)
    return failed_gate(judge(report, rules))


def candidate_of(frame: pd.DataFrame, parameters: dict[str, Any]) -> TrainedModel:
    window = PARTITION.window(days=30, now=PARTITION.week_end)
    return TrainedModel(
        specialist=PARTITION.specialist,
        week=PARTITION.week,
        window_start=window.start,
        window_end=window.end,
        model=PARTITION.specialist.registered_model,
        version="1",
        run_id="run",
        sha256="0" * 64,
        data_version=data_version(frame),
        code_version="0" * 12,
        data_source=REAL,
        parameters=parameters,
        rows={},
    )


def one_decides(rows: int) -> pd.DataFrame:
    """Rows of three classes that one feature decides; a fifth of the labels is drawn by chance."""
    draw, features = np.random.default_rng(1), drawn_features(rows)
    decided = (features["risk_score"] * len(CLASS_NAMES)).astype("int64")
    labels = np.where(draw.random(rows) < _DRAWN, draw.integers(len(CLASS_NAMES), size=rows), decided)
    return dataset(features, labels)


def pairs_decide(rows: int) -> pd.DataFrame:
    """Rows that four features decide in pairs, and none of a pair by itself; a twentieth of the labels is turned."""
    features = drawn_features(rows)
    high = features[list(COMPUTED_FEATURES[:4])].to_numpy() > 0.5
    turned = np.random.default_rng(1).random(rows) < _TURNED
    decided = (high[:, 0] ^ high[:, 1]) | (high[:, 2] & high[:, 3])
    return dataset(features, np.where(decided ^ turned, APPROVE, REJECT))


def noisy(seed: int) -> pd.DataFrame:
    """Rows of other plans for each seed, with verdicts of the demo's reviewers of `behavior`."""
    found = [_reviewed(Random(f"{seed} {number}")) for number in range(NOISE_ROWS)]  # noqa: S311 - reproducible
    features = pd.DataFrame([one for one, _ in found]).reindex(columns=list(FEATURE_NAMES))
    return dataset(features, np.array([CLASS_NAMES.index(label) for _, label in found]))


def _reviewed(rng: Random) -> tuple[dict[str, float], str]:
    features = compute_features(sample_plan(rng, "plan", PARTITION.week_end))
    return features, sample_verdict(rng, features, disagreement=HOPELESS_DISAGREEMENT)[0]


def drawn_features(rows: int) -> pd.DataFrame:
    draw = np.random.default_rng(2)
    return pd.DataFrame({name: draw.random(rows) for name in COMPUTED_FEATURES}).reindex(columns=list(FEATURE_NAMES))


def dataset(features: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    """A dataset of real rows, each of a plan of its own, evenly spread over the window."""
    window = PARTITION.window(days=30, now=PARTITION.week_end)
    numbers = range(len(features))
    plans = pd.Series([f"plan-{number:06}" for number in numbers], dtype="object")
    times = pd.date_range(window.start, window.end, periods=len(features) + 1)[:-1]
    described = {"feedback_id": plans, "opinion_id": plans, "plan_id": plans, "submitted_at": times, "label": labels}
    same = {"human_rating": 0.5, "source": REAL, "provenance": REVIEWER, "split": temporal_split(plans)}
    return conform(pd.DataFrame(described | same).join(features))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["made", *rest]:
            made(int(rest[0]) if rest else ROWS)
        case ["table", *rest]:
            table(Path(rest[0]) if rest else None)
        case ["field", folder]:
            field(Path(folder))
        case ["noise", first, last]:
            noise(range(int(first), int(last) + 1))
        case _:
            sys.exit(__doc__)
