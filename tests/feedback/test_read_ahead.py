"""Reading ahead: answers arrive in order, faults arrive where the answer is used, and nothing is left running."""

import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from nhm_assets.feedback import read_ahead
from nhm_assets.feedback.read_ahead import Read, reading_ahead
from tests.support.processes import eventually


def test_items_arrive_in_order_and_all_are_read_by_one_thread():
    threads = set()

    def numbers() -> Generator[int, None, None]:
        for number in range(50):
            threads.add(threading.current_thread().name)
            yield number

    with reading_ahead() as ahead:
        assert list(ahead.each(numbers())) == list(range(50))
    assert threads == {"read-ahead"}


def test_the_next_item_is_read_while_one_is_worked_on():
    is_read = threading.Event()

    def items() -> Generator[int, None, None]:
        yield 1
        is_read.set()
        yield 2

    with reading_ahead() as ahead:
        coming = ahead.each(items())
        assert next(coming) == 1
        assert is_read.wait(90)
        assert list(coming) == [2]


def test_work_that_waits_lets_other_work_go_on_in_an_order_that_does_not_depend_on_time():
    def order_of(delays: tuple[float, ...]) -> list[tuple[int, int]]:
        done = []

        def work(number: int) -> Generator[Read, Any, None]:
            for step in range(3):
                answer = yield lambda: time.sleep(delays[number % len(delays)]) or (number, step)  # noqa: B023
                done.append(answer)

        with reading_ahead() as ahead:
            ahead.run(work(number) for number in range(7))
        return done

    orders = [order_of((0, 0.01)), order_of((0.01, 0, 0)), order_of((0,))]
    assert orders[0] == orders[1] == orders[2]
    assert sorted(orders[0]) == [(number, step) for number in range(7) for step in range(3)]
    assert orders[0][:3] == [(0, 0), (1, 0), (2, 0)]


def test_what_a_read_raises_is_raised_by_the_work_that_needs_it():
    def broken() -> None:
        raise ConnectionError("away")

    def work(read: Read) -> Generator[Read, Any, None]:
        yield read

    with reading_ahead() as ahead, pytest.raises(ConnectionError, match="away"):
        ahead.run([work(lambda: 1), work(broken), work(lambda: 2)])
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}


def test_reads_that_nobody_needs_any_more_are_not_made(monkeypatch: pytest.MonkeyPatch):
    made = []
    started, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(read_ahead, "_LAST_READ_TIMEOUT_S", 60)

    def end_the_first_once_stopping() -> None:
        # The reader waits for its first read here, so what appears in the queue is the sign to stop.
        eventually(lambda: ahead._requests.qsize() == 2)
        go_on.set()

    with reading_ahead() as ahead:
        ahead.read(lambda: (started.set(), go_on.wait(90)))
        assert started.wait(90)
        ahead.read(lambda: made.append("late"))
        threading.Thread(target=end_the_first_once_stopping).start()
    assert made == []
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
