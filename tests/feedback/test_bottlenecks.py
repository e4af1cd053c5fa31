"""Bottlenecks of large cyclic graphs: the fast sums agree with exact ones, and few tasks more do not cost much more."""

import random
import time
from collections.abc import Iterable

import numpy as np
import pytest

from nhm_assets.feedback.bottlenecks import (
    Successors,
    _betweenness,
    _dependencies_on,
    _exact_betweenness,
    _may_exceed_half,
    count_bottlenecks,
)

GRAPHS = 300
TASKS = 2000

Arcs = list[tuple[int, int]]


def graph(size: int, arcs: Iterable[tuple[int, int]]) -> Successors:
    successors: Successors = {node: {} for node in range(size)}
    for dependency, task in arcs:
        successors[dependency][task] = None
    return successors


def arrays(successors: Successors) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, successors.values())])
    return starts, np.array([task for tasks in successors.values() for task in tasks], dtype="int64")


def ring(size: int) -> Arcs:
    return [(node, (node + 1) % size) for node in range(size)]


def random_arcs(rng: random.Random, size: int, count: int) -> Arcs:
    return [(rng.randrange(size), rng.randrange(size)) for _ in range(count)]


def acyclic_arcs(rng: random.Random, size: int) -> Arcs:
    return [(rng.randrange(task), task) for task in range(1, size) for _ in range(2)]


def random_graph(rng: random.Random) -> Successors:
    size = rng.randint(3, 14)
    arcs = random_arcs(rng, size, rng.randint(0, 3 * size))
    if rng.random() < 0.3:
        arcs += [arc for leaf in range(1, size) for arc in ((0, leaf), (leaf, 0)) if rng.random() < 0.8]
    return graph(size, arcs)


def test_sums_for_many_sources_at_once_agree_with_exact_ones():
    rng = random.Random(20261125)
    exceeding = 0
    for _ in range(GRAPHS):
        successors = random_graph(rng)
        exact = _exact_betweenness(successors)
        assert _betweenness(*arrays(successors)) == pytest.approx(list(map(float, exact)), abs=1e-9), successors
        has_bottleneck = any(2 * value > (len(successors) - 1) * (len(successors) - 2) for value in exact)
        assert not has_bottleneck or _may_exceed_half(*arrays(successors)), successors
        exceeding += has_bottleneck
    assert exceeding > GRAPHS / 20


def test_a_sum_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch):
    successors = graph(60, random_arcs(random.Random(3), 60, 200))
    whole = _betweenness(*arrays(successors))
    monkeypatch.setattr("nhm_assets.feedback.bottlenecks._PAIRS_TOGETHER", 1000)
    assert _betweenness(*arrays(successors)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    ("arcs", "expected"),
    [
        pytest.param(ring(TASKS), 0, id="ring: every node ties at one half"),
        pytest.param([*ring(TASKS), *random_arcs(random.Random(1), TASKS, TASKS)], 0, id="ring with chords"),
        pytest.param([one for leaf in range(1, TASKS) for one in ((0, leaf), (leaf, 0))], 1, id="two-way star"),
        # Node k of n lies between 2 k (n - 1 - k) pairs.
        pytest.param([one for k in range(TASKS - 1) for one in ((k, k + 1), (k + 1, k))], 44, id="two-way chain"),
        pytest.param(random_arcs(random.Random(2), TASKS, 2 * TASKS), 0, id="random"),
    ],
)
def test_two_thousand_tasks_are_counted_in_a_moment(arcs: Arcs, expected: int, monkeypatch: pytest.MonkeyPatch):
    """One source after the other takes eight times as long as a thousand together."""
    together = []

    def noted(sources: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        together.append(len(sources))
        return _dependencies_on(sources, *rest)

    monkeypatch.setattr("nhm_assets.feedback.bottlenecks._dependencies_on", noted)
    assert count_bottlenecks(graph(TASKS, arcs)) == expected
    assert sum(together) == TASKS
    assert min(together) >= 1000


def test_a_small_cycle_in_a_large_plan_costs_no_more_than_its_arcs():
    """The usual mistake is one wrong dependency. Ten times the tasks cost about ten times, not a hundred."""
    size = 40_000
    arcs = [*acyclic_arcs(random.Random(4), size), (size - 1, size - 2), (size - 2, size - 1)]
    started = time.thread_time()
    assert count_bottlenecks(graph(size, arcs)) == 0
    assert time.thread_time() - started < 2
