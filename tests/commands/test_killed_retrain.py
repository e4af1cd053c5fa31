"""`nhm retrain` that is killed with SIGKILL at any moment: the next one ends right."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pymongo import MongoClient

from tests.support.documents import WEEK
from tests.support.nhm import environment, nhm, read_report, start_nhm
from tests.support.processes import killed_at_statement

LONGEST_S = 40
"""A kill later than this would come after the end of most retrainings."""
FEW = 2
MANY = 100
RETRAIN = ("retrain", "--week", WEEK, "--specialist", "technical")
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, MANY))]


def kill(settings: dict[str, Any], moment: Callable[[float], bool]) -> None:
    """Start a retraining, and kill it when `moment`, which is given its age in seconds, says so."""
    process = start_nhm(*RETRAIN, **settings)
    started = time.monotonic()
    while process.poll() is None and not moment(time.monotonic() - started):
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=60)


def ends_right(settings: dict[str, Any], report: Path) -> None:
    """The next retraining succeeds, and leaves nothing half done behind."""
    done = nhm(*RETRAIN, "--report", report, **settings)
    assert done.returncode == 0, done.stderr
    assert read_report(report)["technical"]["outcome"] in ("promoted", "unchanged"), done.stderr
    address = f"sqlite:///{settings['nhm_home'] / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(address, address)
    versions = client.search_model_versions("name = 'technical-evaluator'")
    [in_production] = [version for version in versions if version.current_stage == "Production"]
    assert client.get_model_version_by_alias("technical-evaluator", "production").version == in_production.version
    experiment = client.get_experiment_by_name("technical-specialist")
    assert client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") == []
    with MongoClient(settings["mongodb_uri"]) as mongo:
        audit_log = mongo[settings["mongodb_database"]].model_audit_log
        assert audit_log.count_documents({"state": "open"}) == 0
        assert audit_log.count_documents({}) > 0


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_killed_first_retraining_the_next_one_ends_right(seeded, tmp_path, seed):
    """The first of them is killed while MLflow's database is made."""
    settings = {**seeded, "nhm_home": tmp_path / "fresh"}
    moment = random.Random(seed)
    if seed == 0:
        command = "from nhm_assets.cli import main; main()"
        number = moment.randrange(1, 1000)
        killed_at_statement(number, ".mlflow.db.draft", command, *RETRAIN, env=environment(**settings))
        assert not (tmp_path / "fresh" / "mlflow" / "mlflow.db").exists()
    else:
        after_s = moment.uniform(0, LONGEST_S / 2)
        kill(settings, age_above(after_s))
    ends_right(settings, tmp_path / "report.json")


@pytest.mark.servers
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(FEW, marks=[pytest.mark.slow]),
        pytest.param(MANY, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3 * 3600)]),
    ],
)
def test_after_each_killed_retraining_in_a_used_home_the_next_one_ends_right(seeded, tmp_path, kills):
    settings = {**seeded, "force_retrain": "true"}
    first = nhm(*RETRAIN, **settings)
    assert first.returncode == 0, first.stderr
    for seed in range(kills):
        after_s = random.Random(seed).uniform(0, LONGEST_S / 2)
        kill(settings, age_above(after_s))
        ends_right(settings, tmp_path / "report.json")


def age_above(limit_s: float) -> Callable[[float], bool]:
    return lambda age_s: age_s > limit_s
