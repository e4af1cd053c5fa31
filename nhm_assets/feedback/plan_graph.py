"""The dependency graph of a cognitive plan, and the eleven features that describe its shape.

Nodes are task ids and the ids that tasks depend on. An arc runs from a dependency to its task and counts once.
Sections 2 and 3.10 to 3.13 of the platform's feature specification define the features.
"""

from collections import Counter
from collections.abc import Hashable, Iterable

from nhm_assets.feedback.bottlenecks import Successors, count_bottlenecks


def graph_features(nodes: Iterable[Hashable], arcs: Iterable[tuple[Hashable, Hashable]]) -> dict[str, float]:
    """Features of the directed graph with these nodes and arcs.

    Args:
        nodes: task ids; equal ids are one node.
        arcs: (dependency, task) pairs; an id that no task has becomes a node as well.

    Returns:
        The eleven graph features by name, as floats. `density` and the in-degree centralities are fractions of
        V (V - 1) or V - 1, and `critical_path_length` counts arcs.
    """
    successors: Successors = {node: {} for node in nodes}
    for dependency, task in arcs:
        successors.setdefault(task, {})
        successors.setdefault(dependency, {})[task] = None
    size = len(successors)
    edges = sum(map(len, successors.values()))
    in_degrees = Counter(task for tasks in successors.values() for task in tasks)
    depths = _depths(successors, in_degrees)
    counts = _counting_features(size, edges, max(in_degrees.values(), default=0))
    levels = _level_features(size, depths)
    bottlenecks = 0 if depths is not None else count_bottlenecks(successors)
    complexity = (
        0.3 * min(1.0, 2 * counts["density"])
        + 0.4 * min(1.0, counts["avg_coupling"] / 3)
        + 0.3 * min(1.0, levels["num_levels"] / 10)
    )
    return {**counts, **levels, "num_bottlenecks": float(bottlenecks), "graph_complexity_score": complexity}


def _counting_features(size: int, edges: int, max_in_degree: int) -> dict[str, float]:
    if size >= 2:
        density = edges / (size * (size - 1))
        centralities = density, max_in_degree / (size - 1)
    else:
        # By convention, a single node has centrality 1. An empty graph has none.
        density, centralities = 0.0, (float(size), float(size))
    return {
        "num_nodes": float(size),
        "num_edges": float(edges),
        "density": density,
        "avg_in_degree": centralities[0],
        "max_in_degree": centralities[1],
        "avg_coupling": edges / size if size else 0.0,
    }


def _level_features(size: int, depths: list[int] | None) -> dict[str, float]:
    if depths is None:
        length, widest, levels = 0, 1, 0
    elif not size:
        length, widest, levels = 0, 0, 0
    else:
        length = max(depths)
        widest, levels = max(Counter(depths).values()), length + 1
    return {
        "critical_path_length": float(length),
        "max_parallelism": float(widest),
        "num_levels": float(levels),
    }


def _depths(successors: Successors, in_degrees: Counter[Hashable]) -> list[int] | None:
    """Number of arcs on the longest path into each node; None if the graph has a cycle or a self-loop."""
    remaining = dict(in_degrees)
    depth = {node: 0 for node in successors if node not in remaining}
    ready = list(depth)
    for node in ready:
        for task in successors[node]:
            depth[task] = max(depth.get(task, 0), depth[node] + 1)
            remaining[task] -= 1
            if not remaining[task]:
                ready.append(task)
    return list(depth.values()) if len(ready) == len(successors) else None
