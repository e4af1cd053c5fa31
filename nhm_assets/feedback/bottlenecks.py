"""Counts the nodes of a cyclic graph whose betweenness is strictly greater than one half.

Betweenness is summed by Brandes' method (2001, "A faster algorithm for betweenness centrality"), unscaled, and compared
with half the number of ordered pairs. Its cost is nodes x arcs, so large graphs are first tested by a bound that costs
only nodes + arcs, and then summed for many sources at once, until there is no doubt left on which side of one half
each node is.
"""

from collections import Counter, deque
from collections.abc import Hashable
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

Successors = dict[Hashable, dict[Hashable, None]]
"""Dicts serve as ordered sets, so that every process sums floats in the same order."""

_EXACT_ARITHMETIC_LIMIT: Final = 50_000
"""Nodes x arcs up to which path fractions are summed exactly, because a tie at one half is no bottleneck."""

_PAIRS_TOGETHER: Final = 4_000_000
"""Pairs of source and arc that are held in memory at once: some 150 MB."""

_FIRST_SOURCES: Final = 128
"""Sources after which the first look is taken: enough for nodes far from one half."""

_NO_DOUBT: Final = 50.0
"""Some sources decide for all if others would contradict them with a chance below e^-50."""

_ROUNDING: Final = 1e-9
"""Above that limit, a sum that differs from one half by less than this fraction is a tie that was rounded."""


def count_bottlenecks(successors: Successors) -> int:
    """Number of nodes whose betweenness is strictly greater than one half. Only a cyclic graph can have one."""
    size = len(successors)
    arcs = sum(map(len, successors.values()))
    if size <= 2:
        return 0
    pairs = (size - 1) * (size - 2)
    if size * arcs <= _EXACT_ARITHMETIC_LIMIT:
        return sum(2 * value > pairs for value in _exact_betweenness(successors))
    # Imported here: most plans are acyclic or small, and their features can be computed without any library.
    import numpy as np

    numbers = {node: number for number, node in enumerate(successors)}
    starts = np.cumsum([0, *map(len, successors.values())])
    targets = np.fromiter((numbers[task] for tasks in successors.values() for task in tasks), "int64", arcs)
    if not _may_exceed_half(starts, targets):
        return 0
    return _count_above_half(starts, targets)


def _may_exceed_half(starts: "np.ndarray", targets: "np.ndarray") -> bool:
    """Whether the largest part in which every node reaches every other is large enough for any bottleneck.

    A pair (s, t) counts for v only if s reaches v and v reaches t. Only the c nodes of v's own part are both, so the
    two sets without v have together at most m = V + c - 2 nodes, and there are at most m^2 / 4 - (c - 1) such pairs.

    A ring, the usual plan that is one cycle, is known without sums: each of its nodes ties at one half.
    """
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    size = len(starts) - 1
    graph = csr_array((np.ones(len(targets), "int8"), targets, starts), shape=(size, size))
    _, parts = connected_components(graph, directed=True, connection="strong")
    largest = int(np.bincount(parts).max())
    is_ring = size == largest == len(targets)
    return not is_ring and (size + largest - 2) ** 2 - 4 * (largest - 1) > 2 * (size - 1) * (size - 2)


def _count_above_half(starts: "np.ndarray", targets: "np.ndarray") -> int:
    """Number of nodes above one half, from as few sources as leave no doubt; from all if a node is close to one half.

    Args:
        starts: node -> where its arcs begin in `targets`; one more at the end.
        targets: the node to which each arc leads.
    """
    import numpy as np

    size = len(starts) - 1
    together = max(1, _PAIRS_TOGETHER // max(size, len(targets)))
    # In any order, but always in the same one: a plan has the same features whenever they are computed.
    sources = np.random.default_rng(0).permutation(size)
    half = (size - 1) * (size - 2) / 2
    total, done, enough = np.zeros(size), 0, _FIRST_SOURCES
    while done < enough:
        some = sources[done : done + min(together, max(_FIRST_SOURCES, enough - done))]
        total += _dependencies_on(some, starts, targets).sum(axis=0)
        done += len(some)
        enough = _sources_without_doubt(total, done, half)
    if done < size:
        return int((total * size > half * done).sum())
    return int((total > half * (1 + _ROUNDING)).sum())


def _sources_without_doubt(total: "np.ndarray", done: int, half: float) -> int:
    """How many sources, drawn by chance, are enough if those to come are like those that are done.

    What one source adds to a node is from 0 to V - 2. For means of such numbers, drawn without repetition, Hoeffding
    (1963, theorems 1 and 4) limits the chance that they are on the other side of one half than the mean of all.

    Args:
        total: unscaled betweenness of each node from the sources that are done.
        done: number of these.
        half: unscaled betweenness that is one half.
    """
    import numpy as np
    from scipy.special import rel_entr

    size = len(total)
    mean = np.minimum(total / (done * (size - 2)), 1.0)
    middle = half / (size * (size - 2))
    distance = rel_entr(mean, middle) + rel_entr(1 - mean, 1 - middle)
    return int(min(size, np.ceil(_NO_DOUBT / max(float(distance.min()), 1e-9))))


def _dependencies_on(sources: "np.ndarray", starts: "np.ndarray", targets: "np.ndarray") -> "np.ndarray":
    """Source x node -> the sum over all targets of the fraction of shortest paths that pass through the node.

    All sources take the same step together. `row` is the place of (source, node) in the flattened matrices.
    """
    import numpy as np

    size = len(starts) - 1
    degrees = np.diff(starts)
    distance = np.full(len(sources) * size, -1, "int32")
    paths = np.zeros(len(distance))
    seen_at = np.empty(len(distance), "int64")
    node = sources
    row = np.arange(len(sources)) * size + sources
    distance[row], paths[row] = 0, 1
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    while len(row):
        count = degrees[node]
        ends = count.cumsum()
        arc = np.arange(ends[-1]) + (starts[node] - ends + count).repeat(count)
        parent = row.repeat(count)
        node = targets[arc]
        child = (row - row % size).repeat(count) + node
        reached = distance[child]
        is_shortest = (reached < 0) | (reached > len(steps))
        if not is_shortest.all():
            parent, child, node = parent[is_shortest], child[is_shortest], node[is_shortest]
        distance[child] = len(steps) + 1
        np.add.at(paths, child, paths[parent])
        steps.append((parent, child))
        order = np.arange(len(child))
        seen_at[child] = order
        is_first = seen_at[child] == order
        row, node = child[is_first], node[is_first]
    dependency = np.zeros(len(distance))
    for parent, child in reversed(steps):
        np.add.at(dependency, parent, paths[parent] / paths[child] * (1 + dependency[child]))
    # A source is no node between.
    dependency[np.arange(len(sources)) * size + sources] = 0
    return dependency.reshape(len(sources), size)


def _exact_betweenness(successors: Successors) -> list[Fraction]:
    """Unscaled betweenness of each node."""
    betweenness = dict.fromkeys(successors, Fraction(0))
    for source in successors:
        for node, dependency in _exact_dependencies_on(source, successors).items():
            if node != source:
                betweenness[node] += dependency
    return list(betweenness.values())


def _exact_dependencies_on(source: Hashable, successors: Successors) -> dict[Hashable, Fraction]:
    """For each node, the sum over all targets of the fraction of shortest paths from source that pass through it."""
    distance = {source: 0}
    paths: Counter[Hashable] = Counter({source: 1})
    predecessors: dict[Hashable, list[Hashable]] = {source: []}
    queue = deque([source])
    order = []
    while queue:
        node = queue.popleft()
        order.append(node)
        for task in successors[node]:
            if task not in distance:
                distance[task] = distance[node] + 1
                predecessors[task] = []
                queue.append(task)
            if distance[task] == distance[node] + 1:
                paths[task] += paths[node]
                predecessors[task].append(node)
    dependency = dict.fromkeys(order, Fraction(0))
    for task in reversed(order):
        for node in predecessors[task]:
            dependency[node] += Fraction(paths[node], paths[task]) * (1 + dependency[task])
    return dependency
