"""Processes that do tasks: what becomes of tasks whose process dies or is interrupted, and of errors."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.context import ForkProcess
from pathlib import Path

import psutil
import pytest

from nhm_assets.runs.forked_workers import SUPPORTED, Lost, Tell, Workers, forked_workers
from tests.support.processes import ROOT, eventually

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="processes are forked on Linux alone")

LONG_S = 600
"""No task takes so long: somebody ends it."""


def doing(work: Callable[[str, Tell], object]) -> Callable[[], AbstractContextManager[Callable[[str, Tell], object]]]:
    @contextmanager
    def opened() -> Iterator[Callable[[str, Tell], object]]:
        yield work

    return opened


def results(workers: Workers, tasks: list[str], **calls: Callable) -> list[tuple[str, object]]:
    quiet = {"started": lambda _: None, "told": lambda *_: None}
    return list(workers.results(tasks, **{**quiet, **calls}))


def test_all_tasks_are_done_by_other_processes_which_tell_what_they_do():
    def work(task: str, tell: Tell) -> int:
        tell(f"doing {task}")
        return os.getpid()

    started, told = [], []
    with forked_workers(2, doing(work)) as workers:
        done = results(workers, ["a", "b", "c"], started=started.append, told=lambda *words: told.append(words))
    assert started == ["a", "b", "c"]
    assert sorted(told) == [(task, f"doing {task}") for task in started]
    assert {task for task, _ in done} == {"a", "b", "c"}
    assert os.getpid() not in {pid for _, pid in done}
    assert multiprocessing.active_children() == []


def test_what_does_the_tasks_is_opened_at_once_in_each_process_and_only_once_and_closed(tmp_path: Path):
    @contextmanager
    def opened() -> Iterator[Callable[[str, Tell], str]]:
        (tmp_path / "opened").touch(exist_ok=False)
        yield lambda task, _: task
        (tmp_path / "closed").touch(exist_ok=False)

    with forked_workers(1, opened) as workers:
        assert eventually((tmp_path / "opened").exists)
        assert results(workers, ["a", "b"]) == [("a", "a"), ("b", "b")]
    assert (tmp_path / "closed").exists()


def test_an_error_of_opening_is_that_of_the_task():
    @contextmanager
    def opened() -> Iterator[Callable[[str, Tell], str]]:
        raise LookupError("nothing to open")
        yield

    with forked_workers(1, opened) as workers:
        result = workers.begin("a")
        with pytest.raises(LookupError, match="nothing to open"):
            result()


def killed(task: str, _: Tell) -> str:
    if task.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    return task.upper()


def test_a_task_that_was_begun_goes_on_meanwhile_and_its_result_is_waited_for(tmp_path: Path):
    def work(task: str, tell: Tell) -> str:
        tell("nobody listens")
        (tmp_path / task).touch()
        return killed(task, tell)

    with forked_workers(1, doing(work)) as workers:
        result = workers.begin("a")
        assert eventually((tmp_path / "a").exists)
        assert result() == "A"
        lost = workers.begin("killed")()
    assert isinstance(lost, Lost)


def test_the_error_of_a_task_that_was_begun_is_raised_here():
    def work(task: str, _: Tell) -> str:
        raise ValueError(task)

    with forked_workers(1, doing(work)) as workers, pytest.raises(ValueError, match="wrong"):
        workers.begin("wrong")()


def test_a_killed_process_loses_its_task_alone():
    with forked_workers(2, doing(killed)) as workers:
        done = dict(results(workers, ["a", "killed", "b", "c"]))
    lost = done.pop("killed")
    assert isinstance(lost, Lost)
    assert lost.signal == signal.SIGKILL
    assert done == {"a": "A", "b": "B", "c": "C"}


def test_tasks_for_which_no_process_is_left_have_no_result():
    with forked_workers(2, doing(killed)) as workers:
        assert {task for task, _ in results(workers, ["killed 1", "killed 2", "a"])} == {"killed 1", "killed 2"}


def test_an_error_is_raised_here_and_no_further_task_is_begun():
    def work(task: str, _: Tell) -> str:
        if task == "wrong":
            raise ValueError("no such thing")
        return task

    started, done = [], []
    quiet = {"started": started.append, "told": lambda *_: None}
    with forked_workers(1, doing(work)) as workers, pytest.raises(ValueError, match="no such thing") as raised:
        done.extend(workers.results(["a", "wrong", "b"], **quiet))
    assert started == ["a", "wrong"]
    assert "in work" in "".join(raised.value.__notes__), "where it was raised"


class Drops:
    """Python prints what a destructor raises, an interruption too, and goes on."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def __del__(self) -> None:
        self.tell("in a destructor")
        time.sleep(LONG_S)


class NeedsTwo(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} {where}")


class HoldsALock(Exception):
    """Cannot be pickled."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} {where}")
        self.lock = threading.Lock()


@pytest.mark.parametrize("kind", [NeedsTwo, HoldsALock])
def test_an_error_that_cannot_be_sent_is_named(kind: type[Exception]):
    def work(task: str, _: Tell) -> str:
        raise kind("no", task)

    with (
        pytest.raises(RuntimeError, match=f"^{kind.__name__}: no way") as raised,
        forked_workers(1, doing(work)) as workers,
    ):
        results(workers, ["way"])
    assert "in work" in "".join(raised.value.__notes__), "where it was raised"


def test_who_does_not_want_to_wait_for_an_interrupted_task_interrupts_again(monkeypatch):
    def work(_: str, tell: Tell) -> None:
        Drops(tell)
        time.sleep(LONG_S)

    def interrupt(*_: object) -> None:
        monkeypatch.setattr(ForkProcess, "join", interrupt_again)
        raise KeyboardInterrupt

    def interrupt_again(process: ForkProcess, timeout: float | None = None) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), forked_workers(1, doing(work)) as workers:
        results(workers, ["a"], told=interrupt)


def test_an_error_here_leaves_nothing_of_the_idle_processes_on_the_screen(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="an error"), forked_workers(8, doing(killed)):
        raise ValueError("an error")
    assert capfd.readouterr().err == ""


def test_an_interruption_here_interrupts_the_tasks_and_waits_for_them(tmp_path: Path):
    def work(task: str, tell: Tell) -> None:
        try:
            tell("begun")
            time.sleep(LONG_S)
        finally:
            tell("nobody listens any more")
            (tmp_path / task).touch()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), forked_workers(1, doing(work)) as workers:
        results(workers, ["a"], told=interrupt)
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("often", [1, 9])
def test_a_task_that_drops_an_interruption_is_interrupted_again_and_killed_in_the_end(monkeypatch, often: int):
    monkeypatch.setattr("nhm_assets.runs.forked_workers._PATIENCE_S", 0.5)

    def work(_: str, tell: Tell) -> None:
        for _ in range(often):
            Drops(tell)
        time.sleep(LONG_S)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), forked_workers(1, doing(work)) as workers:
        results(workers, ["a"], told=interrupt)


PARENT = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from nhm_assets.runs.forked_workers import forked_workers

def work(folder, tell):
    try:
        tell("begun")
        time.sleep(600)
    finally:
        Path(folder, "interrupted").touch()

with forked_workers(1, lambda: nullcontext(work)) as workers:
    told = lambda _, text: print(text, flush=True)
    for _ in workers.results([sys.argv[1]], started=lambda _: None, told=told):
        pass
"""


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_tasks_of_a_killed_process_are_interrupted(tmp_path: Path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "begun\n"
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate(timeout=60)
    assert eventually(lambda: has_ended(child))
    assert (tmp_path / "interrupted").exists()
