"""The processes of `nhm retrain`: how many there are, the death of one, and that they make the same models as one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from nhm_assets.commands.retrain_runs import Runs, processes_and_threads
from nhm_assets.domain.errors import NhmError
from nhm_assets.domain.outcomes import REASON_TAG, Outcome
from nhm_assets.domain.partitions import Partition
from nhm_assets.registry.vocabulary import SHA256_TAG
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.runs.forked_workers import SUPPORTED, Tell, forked_workers
from nhm_assets.runs.in_process import Retraining
from nhm_assets.runs.liveness import this_process
from nhm_assets.runs.tags import PROCESS_TAG
from nhm_assets.settings import Settings
from tests.support.documents import WEEK
from tests.support.nhm import nhm, read_report
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_run

only_where_processes_are_forked = pytest.mark.skipif(not SUPPORTED, reason="processes are forked on Linux alone")


@only_where_processes_are_forked
@pytest.mark.parametrize(
    ("setting", "partitions", "cores", "expected"),
    [
        (None, 5, 2, (2, 1)),
        (None, 1, 8, (1, 2)),
        (None, 5, 16, (5, 2)),
        (None, 5, 1, (1, 2)),
        (1, 5, 8, (1, 2)),
        (3, 5, 2, (3, 1)),
        (8, 2, 8, (2, 2)),
    ],
)
def test_processes_and_threads_are_as_many_as_cores(setting, partitions, cores, expected):
    assert processes_and_threads(Settings(retrain_processes=setting), partitions, cores=cores) == expected


class Killed:
    """Runs without any work; the process that has the one of technical is killed, once Dagster knows the run."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        of = [partition(WEEK, name) for name in ("technical", "business", "behavior")]
        self.windows = {one: one.window(days=30, now=platform.settings.now()) for one in of}
        self._instance = platform.instance
        self._recorded = folder / "recorded"
        self.runs = Runs(platform.settings, self.windows)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Partition, Tell], Retraining]]:
        yield self._work

    def _work(self, of: Partition, tell: Tell) -> Retraining:
        if of.specialist == "technical":
            tell(this_process())
            while not self._recorded.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return Retraining(of, self.windows[of], Outcome.PROMOTED)

    def results(self, processes: int) -> Iterator[Retraining]:
        def record(of: Partition, process: str) -> None:
            put_run(self._instance, of, status=DagsterRunStatus.STARTED, tags={PROCESS_TAG: process})
            self._recorded.touch()

        with forked_workers(processes, self.opened) as workers:
            yield from self.runs.results(self._instance, workers, started=lambda _: None, told=record)


@only_where_processes_are_forked
def test_a_run_whose_process_is_killed_is_broken_and_says_how_to_go_on(platform: Platform, tmp_path: Path):
    results = {str(one.partition.specialist): one for one in Killed(platform, tmp_path).results(2)}
    broken = results.pop("technical")
    assert broken.outcome == Outcome.BROKEN
    assert f"killed by signal 9. Run `nhm retrain --week {WEEK} --specialist technical` again" in broken.error
    assert platform.instance.get_run_by_id(broken.run_id).status is DagsterRunStatus.FAILURE
    assert {name: one.outcome for name, one in results.items()} == dict.fromkeys(("business", "behavior"), "promoted")


@only_where_processes_are_forked
def test_without_any_process_left_the_other_specialists_are_not_run(platform: Platform, tmp_path: Path):
    results = []
    with pytest.raises(NhmError, match="has died"):
        results.extend(Killed(platform, tmp_path).results(1))
    assert [str(one.partition.specialist) for one in results] == ["technical"]


def test_an_interruption_of_one_process_begins_no_further_specialist(platform: Platform, monkeypatch):
    """Dagster only ends the run that is interrupted."""
    of = [partition(WEEK, name) for name in ("technical", "business", "behavior")]
    windows = {one: one.window(days=30, now=platform.settings.now()) for one in of}
    begun: list[str] = []

    def interrupt(name: str) -> None:
        begun.append(name)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    runs = Runs(platform.settings.model_copy(update={"retrain_processes": 1}), windows)
    results: list[Retraining] = []
    with pytest.raises(NhmError, match="interrupted before"):
        results.extend(
            runs.results(platform.instance, None, started=lambda _: None, told=lambda _, step: interrupt(step))
        )
    (interrupted,) = results
    assert (str(interrupted.partition.specialist), interrupted.outcome) == ("technical", Outcome.BROKEN)
    assert "its process was interrupted" in interrupted.reason
    run = platform.instance.get_run_by_id(interrupted.run_id)
    assert run.tags[REASON_TAG] == interrupted.error


@pytest.mark.servers
@pytest.mark.exhaustive
def test_two_processes_make_the_same_models_as_one(seeded, tmp_path: Path):
    """Business learns from synthetic rows. All but the numbers of versions, runs and seconds is the same."""
    settings = {**seeded, "allow_synthetic_fallback": "auto", "force_retrain": "true"}
    chosen = ("retrain", "--week", WEEK, "--specialist", "technical", "--specialist", "business")
    made = []
    for processes in (2, 1):
        report = tmp_path / f"{processes}.json"
        done = nhm(*chosen, "--report", report, **settings, retrain_processes=processes)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        entries = read_report(report)
        assert list(entries) == ["technical", "business"]
        made.append({name: {**entry, "sha256": sha256(settings, entry)} for name, entry in entries.items()})
    two, one = made
    for specialist, entry in two.items():
        assert [one[specialist]["model"]["version"], entry["model"]["version"]] == ["2", "1"]
        for part in ("window", "dataset", "metrics", "sha256"):
            assert entry[part] == one[specialist][part], part


def sha256(settings: dict[str, object], entry: dict) -> str:
    with mlflow_of(Settings(**settings)).client() as client:
        return client.get_model_version(entry["model"]["name"], entry["model"]["version"]).tags[SHA256_TAG]
