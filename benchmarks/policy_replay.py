"""`nhm replay` over a year of five specialists: 260 reports with their verdicts, from Dagster's records alone.

`python -m benchmarks.policy_replay` records them in a Dagster instance of its own and measures whole commands.
"""

import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import child, clean_environment, rounds
from benchmarks.results import Measured, at_most, report
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.fold_records import Fold, Pooled, Reference
from nhm_assets.domain.partitions import WEEK, Partition, weeks
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, Interval, Metrics
from nhm_assets.domain.specialists import Specialist, all_specialists

TITLE = "Replaying the gate"
WEEKS = 52
ROUNDS = rounds(5)
TARGET_S = 10.0


def seed() -> None:
    """Body of a process that records a year of evaluations."""
    from dagster import AssetCheckEvaluation, AssetMaterialization, MetadataValue

    from nhm_assets.domain.asset_keys import EVALUATION_REPORT, PROMOTED_VERSION
    from nhm_assets.domain.dagster_names import REPORT_METADATA
    from nhm_assets.domain.outcomes import GATE_CHECKS
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.settings import Settings

    draw = np.random.default_rng(1)
    with dagster_instance(Settings.load()) as instance:
        for number in range(WEEKS):
            for name in all_specialists():
                report = _report(name, number, draw)
                partition = str(Partition(report.week, Specialist(name)).key)
                passes = report.candidate.precision >= 0.75
                content = {REPORT_METADATA: MetadataValue.json(report.model_dump(mode="json"))}
                moved = {"specialist": name, "version": report.version}
                events: list[Any] = [AssetMaterialization(EVALUATION_REPORT, partition=partition, metadata=content)]
                events += [
                    AssetCheckEvaluation(EVALUATION_REPORT, check, passed=passes, partition=partition)
                    for check in GATE_CHECKS
                ]
                if passes:
                    events.append(AssetMaterialization(PROMOTED_VERSION, partition=partition, metadata=moved))
                for event in events:
                    instance.report_runless_asset_event(event)
    print(WEEKS * len(all_specialists()))


def _report(specialist: str, number: int, draw: np.random.Generator) -> EvaluationReport:
    week = weeks().get_partition_keys()[0]
    start = Partition(week, Specialist(specialist)).week_end - WEEK + timedelta(weeks=number)
    champion = str(number) if number else None
    unchanged = {name: Interval(low=-0.02, high=0.02) for name in ("precision", "recall", "f1")}
    comparison = Comparison(only_candidate_right=7, only_champion_right=5, mcnemar_p=0.77, differences=unchanged)
    return EvaluationReport(
        specialist=specialist,
        week=f"{start:%Y-%m-%d}",
        window_start=start - timedelta(days=23),
        window_end=start + WEEK,
        model=f"{specialist}-evaluator",
        version=str(number + 1),
        run_id=f"{number:032d}",
        data_version="d" * 32,
        code_version="c" * 12,
        data_source="real",
        test_rows=225,
        test_approvals=80,
        synthetic_test=False,
        scripted_rows=0,
        candidate=_metrics(draw),
        intervals={name: Interval(low=0.7, high=0.9) for name in ("precision", "recall", "f1")},
        champion=Champion(version=champion, metrics=_metrics(draw), comparison=comparison) if champion else None,
        compared_with=champion,
        baseline_f1={"most_frequent": 0.0, "stratified": 0.35},
        prior_brier=0.66,
        folds=[Fold(number=1, learned_rows=660, tested_rows=180), Fold(number=2, learned_rows=840, tested_rows=180)],
        pooled=Pooled(tp=170, fp=25, fn=30, tn=335),
        reference=Reference(weeks=8, reason="no version was in Production 8 weeks before"),
        importances={name: float(draw.random()) for name in FEATURE_NAMES},
    )


def _metrics(draw: np.random.Generator) -> Metrics:
    precision, recall = draw.uniform(0.70, 0.85, size=2)
    return Metrics(
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall),
        accuracy=0.7,
        macro_f1=0.68,
        brier=0.42,
        log_loss=0.7,
        support={"reject": 75, "approve": 80, "review_required": 70},
        confusion=[[55, 10, 10], [10, 60, 10], [10, 10, 50]],
    )


def run() -> list[Measured]:
    """Record and measure."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder:
        home = {"NHM_HOME": str(Path(folder) / "nhm")}
        print("policy_replay: recording a year of evaluations", file=sys.stderr)
        reports = child(["benchmarks.policy_replay", "seed"], home)
        print("policy_replay: replays", file=sys.stderr)
        seconds = [_replayed(home) for _ in range(ROUNDS)]
    return [at_most(f"`nhm replay` over {reports} reports", seconds, TARGET_S, "s", digits=1)]


def _replayed(home: dict[str, str]) -> float:
    command = [sys.executable, "-c", "from nhm_assets.cli import main; main()", "replay"]
    command += ["--set", "PRECISION_THRESHOLD=0.8"]
    started = time.perf_counter()
    subprocess.run(command, env=clean_environment() | home, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1:] == ["seed"]:
        seed()
    else:
        report(TITLE, run())
