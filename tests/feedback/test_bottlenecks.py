"""Bottlenecks of large cyclic graphs: the fast sums agree with exact ones, and no more is summed than is needed."""

import random
import time
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from nhm_assets.feedback.bottlenecks import (
    Successors,
    _count_above_half,
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


def sums(successors: Successors) -> np.ndarray:
    """Unscaled betweenness of each node, from all sources at once."""
    starts, targets = arrays(successors)
    return _dependencies_on(np.arange(len(successors)), starts, targets).sum(axis=0)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sources are summed together, each time."""
    counted: list[int] = []

    def noted(sources: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        counted.append(len(sources))
        return _dependencies_on(sources, *rest)

    monkeypatch.setattr("nhm_assets.feedback.bottlenecks._dependencies_on", noted)
    return counted


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
        assert sums(successors) == pytest.approx(list(map(float, exact)), abs=1e-9), successors
        has_bottleneck = any(2 * value > (len(successors) - 1) * (len(successors) - 2) for value in exact)
        assert not has_bottleneck or _may_exceed_half(*arrays(successors)), successors
        exceeding += has_bottleneck
    assert exceeding > GRAPHS / 20


def hub_of_about_half(rng: random.Random) -> Successors:
    """A hub on more or less than half of the shortest paths, beside arcs between the others."""
    size, share = rng.choice([200, 400]), rng.choice([0.2, 0.5, 0.7, 0.75, 0.9, 1])
    arcs = [one for node in range(1, size) if rng.random() < share for one in ((0, node), (node, 0))]
    return graph(size, [*arcs, *random_arcs(rng, size, rng.choice([0, size, 2 * size]))])


def test_few_sources_count_the_same_nodes_as_all(together: list[int]):
    rng = random.Random(20261127)
    counts, few = set(), 0
    for _ in range(60):
        successors = hub_of_about_half(rng)
        size = len(successors)
        expected = int((2 * sums(successors) > (size - 1) * (size - 2) * (1 + 1e-9)).sum())
        together.clear()
        assert _count_above_half(*arrays(successors)) == expected
        counts.add(expected)
        few += sum(together) < size
    assert counts >= {0, 1}
    assert 20 < few < 60


def test_a_sum_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch, together: list[int]):
    chain = graph(200, [one for k in range(199) for one in ((k, k + 1), (k + 1, k))])
    whole = _count_above_half(*arrays(chain))
    monkeypatch.setattr("nhm_assets.feedback.bottlenecks._PAIRS_TOGETHER", 1000)
    together.clear()
    assert _count_above_half(*arrays(chain)) == whole > 0
    assert max(together) < 10
    assert sum(together) == 200


@pytest.mark.parametrize(
    ("arcs", "expected"),
    [
        pytest.param([*ring(TASKS - 1), (0, TASKS - 1)], 0, id="ring with a tail"),
        # Node k of n lies between 2 k (n - 1 - k) pairs.
        pytest.param([one for k in range(TASKS - 1) for one in ((k, k + 1), (k + 1, k))], 44, id="two-way chain"),
    ],
)
def test_nodes_close_to_one_half_are_summed_from_all_sources(arcs: Arcs, expected: int, together: list[int]):
    """One source after the other takes eight times as long as a thousand together."""
    assert count_bottlenecks(graph(TASKS, arcs)) == expected
    assert sum(together) == TASKS
    assert max(together) >= 1000


@pytest.mark.parametrize("size", [TASKS, 2 * TASKS])
@pytest.mark.parametrize(
    ("arcs_of", "expected"),
    [
        pytest.param(ring, 0, id="ring"),
        pytest.param(lambda n: [*ring(n), *random_arcs(random.Random(1), n, n)], 0, id="ring with chords"),
        pytest.param(lambda n: random_arcs(random.Random(2), n, 2 * n), 0, id="random"),
        pytest.param(lambda n: random_arcs(random.Random(3), n, 20 * n), 0, id="dense"),
        pytest.param(lambda n: [one for leaf in range(1, n) for one in ((0, leaf), (leaf, 0))], 1, id="two-way star"),
    ],
)
def test_nodes_far_from_one_half_take_as_many_sources_in_a_larger_plan(
    arcs_of: Callable[[int], Arcs], expected: int, size: int, together: list[int]
):
    assert count_bottlenecks(graph(size, arcs_of(size))) == expected
    assert sum(together) <= 128


def test_a_small_cycle_in_a_large_plan_costs_no_more_than_its_arcs():
    """The usual mistake is one wrong dependency. Ten times the tasks cost about ten times, not a hundred."""
    size = 40_000
    arcs = [*acyclic_arcs(random.Random(4), size), (size - 1, size - 2), (size - 2, size - 1)]
    started = time.thread_time()
    assert count_bottlenecks(graph(size, arcs)) == 0
    assert time.thread_time() - started < 2
