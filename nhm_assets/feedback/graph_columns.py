"""The features of many plans' graphs at once; those of `plan_graph`, which defines them. Cyclic graphs are odd."""

from dataclasses import dataclass
from typing import Final

import numpy as np

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)


@dataclass(frozen=True)
class Items:
    """The ids in many plans: of all tasks, then those that tasks depend on.

    Attributes:
        plans: the plan of each id.
        keys: numbers that are equal in all columns exactly where the ids are equal.
        dependents: for each dependency, the task that has it.
    """

    plans: np.ndarray
    keys: np.ndarray
    dependents: np.ndarray


def graph_columns(items: Items, odd: np.ndarray) -> dict[str, np.ndarray]:
    """The eleven features of each plan's graph. A cyclic one becomes odd."""
    size = len(odd)
    nodes, plans = _nodes(items, odd)
    count = len(plans)
    first = len(items.plans) - len(items.dependents)
    # Repeated dependencies are one arc.
    arcs = np.unique(nodes[first:] * max(1, count) + nodes[items.dependents])
    froms, tos = arcs // max(1, count), arcs % max(1, count)
    in_degrees = np.bincount(tos, minlength=count)
    depths = _depths(froms, tos, in_degrees)
    odd[plans[depths < 0]] = True
    longest = _greatest(plans, depths, size)
    levels = longest + 1
    width = int(levels.max(initial=0)) + 1
    by_level = np.bincount(plans * width + np.maximum(depths, 0), minlength=size * width).reshape(size, width)
    nodes_of = np.bincount(plans, minlength=size).astype("float64")
    arcs_of = np.bincount(plans[tos], minlength=size).astype("float64")
    counts = _counting_columns(nodes_of, arcs_of, np.maximum(_greatest(plans, in_degrees, size), 0))
    return {
        **counts,
        "critical_path_length": np.maximum(longest, 0).astype("float64"),
        "max_parallelism": by_level.max(axis=1, initial=0).astype("float64"),
        "num_levels": levels.astype("float64"),
        "num_bottlenecks": np.zeros(size),
        "graph_complexity_score": 0.3 * np.minimum(1.0, 2 * counts["density"])
        + 0.4 * np.minimum(1.0, counts["avg_coupling"] / 3)
        + 0.3 * np.minimum(1.0, levels / 10),
    }


def _counting_columns(nodes: np.ndarray, arcs: np.ndarray, max_in_degree: np.ndarray) -> dict[str, np.ndarray]:
    several = nodes >= 2
    # By convention, a single node has centrality 1. An empty graph has none.
    density = np.where(several, arcs / np.maximum(nodes * (nodes - 1), 1), 0.0)
    return {
        "num_nodes": nodes,
        "num_edges": arcs,
        "density": density,
        "avg_in_degree": np.where(several, density, nodes),
        "max_in_degree": np.where(several, max_in_degree / np.maximum(nodes - 1, 1), nodes),
        "avg_coupling": arcs / np.maximum(nodes, 1),
    }


def _nodes(items: Items, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node of each id, and the plan of each node.

    Ids are brought together by a hash. Where it is equal for different ids, which hardly happens, their plans are odd.
    """
    hashes = items.plans.astype("u8") * _FACTOR
    for column in items.keys.T:
        hashes = (hashes ^ column) * _FACTOR
        hashes ^= hashes >> _SHIFT
    order = np.argsort(hashes, kind="stable")
    hashes, plans, keys = hashes[order], items.plans[order], items.keys[order]
    is_new = np.ones(len(order), "bool")
    is_new[1:] = hashes[1:] != hashes[:-1]
    differs = np.zeros(len(order), "bool")
    differs[1:] = (plans[1:] != plans[:-1]) | (keys[1:] != keys[:-1]).any(axis=1)
    clash = np.flatnonzero(~is_new & differs)
    odd[plans[clash]] = odd[plans[clash - 1]] = True
    nodes = np.empty(len(order), "int64")
    nodes[order] = np.cumsum(is_new) - 1
    return nodes, plans[is_new]


def _depths(froms: np.ndarray, tos: np.ndarray, in_degrees: np.ndarray) -> np.ndarray:
    """Number of arcs on the longest path into each node; -1 for nodes of a cycle and those after it.

    Args:
        froms: where each arc begins, in ascending order.
        tos: where it ends.
        in_degrees: the number of arcs into each node.
    """
    starts = np.searchsorted(froms, np.arange(len(in_degrees) + 1))
    out_degrees = np.diff(starts)
    remaining = in_degrees.copy()
    depths = np.full(len(in_degrees), -1, "int64")
    level, ready = 0, np.flatnonzero(remaining == 0)
    while len(ready):
        depths[ready] = level
        level += 1
        counts = out_degrees[ready]
        ends = np.cumsum(counts)
        arcs = np.arange(ends[-1]) + np.repeat(starts[ready] - ends + counts, counts)
        remaining -= np.bincount(tos[arcs], minlength=len(remaining))
        ready = np.flatnonzero((remaining == 0) & (depths < 0))
    return depths


def _greatest(plans: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """The greatest value of each plan; -1 for a plan without any."""
    greatest = np.full(size, -1, "int64")
    np.maximum.at(greatest, plans, values)
    return greatest
