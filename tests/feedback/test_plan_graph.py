"""The shape of a plan's graph: rules on small graphs, and agreement with networkx on random ones."""

import random

import pytest

from nhm_assets.feedback.plan_graph import graph_features

GRAPHS = 400


def ring(size: int) -> list[tuple[int, int]]:
    return [(node, (node + 1) % size) for node in range(size)]


def by_networkx(nodes: list, arcs: list) -> dict[str, float]:
    """The same features from networkx's own algorithms, as the specification defines them."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(arcs)
    size, edges = graph.number_of_nodes(), graph.number_of_edges()
    centrality = list(nx.in_degree_centrality(graph).values()) if size else [0.0]
    acyclic = nx.is_directed_acyclic_graph(graph)
    generations = [len(level) for level in nx.topological_generations(graph)] if acyclic else []
    density = nx.density(graph) if size > 1 else 0.0
    coupling = edges / size if size else 0.0
    betweenness = nx.betweenness_centrality(graph).values()
    return {
        "num_nodes": size,
        "num_edges": edges,
        "density": density,
        "avg_in_degree": sum(centrality) / len(centrality),
        "max_in_degree": max(centrality),
        "avg_coupling": coupling,
        "critical_path_length": nx.dag_longest_path_length(graph) if acyclic else 0,
        "max_parallelism": max(generations, default=0) if acyclic else 1,
        "num_levels": len(generations),
        # A tie at one half is no bottleneck, even if a float rounds it up.
        "num_bottlenecks": sum(value > 0.5 + 1e-9 for value in betweenness),
        "graph_complexity_score": 0.3 * min(1, 2 * density)
        + 0.4 * min(1, coupling / 3)
        + 0.3 * min(1, len(generations) / 10),
    }


def random_graph(rng: random.Random) -> tuple[list, list]:
    """Up to nine tasks, some with duplicate or unknown ids; with forward arcs, any arcs, or hubs."""
    nodes = [f"t{rng.randrange(9)}" for _ in range(rng.randint(0, 9))]
    ids = [*nodes, *rng.choice(([], ["ghost"], ["ghost", "spirit"]))]
    if len(ids) < 2:
        return nodes, []
    kind = rng.choice(("forward", "any", "hub"))
    arcs = [tuple(rng.choices(ids, k=2)) for _ in range(rng.randint(0, 2 * len(ids)))]
    if kind == "forward":
        arcs = [arc for arc in arcs if arc[0] < arc[1]]
    if kind == "hub":
        arcs = [arc for one in ids[1:] for arc in ((ids[0], one), (one, ids[0])) if rng.random() < 0.8]
    return nodes, arcs


def test_random_graphs_agree_with_networkx():
    rng = random.Random(20260301)
    cyclic = bottlenecks = 0
    for _ in range(GRAPHS):
        nodes, arcs = random_graph(rng)
        features = graph_features(nodes, arcs)
        assert features == pytest.approx(by_networkx(nodes, arcs), abs=1e-12), (nodes, arcs)
        cyclic += bool(features["num_nodes"] and not features["num_levels"])
        bottlenecks += features["num_bottlenecks"] > 0
    # Otherwise the agreement would say little about the difficult cases.
    assert cyclic > GRAPHS / 4
    assert bottlenecks > GRAPHS / 20
    assert cyclic < GRAPHS * 3 / 4


@pytest.mark.parametrize("size", [3, 4, 7, 30, 260])
def test_no_node_of_a_ring_is_a_bottleneck(size: int):
    """All nodes tie at exactly one half; the largest ring is summed in floats."""
    assert graph_features(range(size), ring(size))["num_bottlenecks"] == 0


def test_a_chord_across_a_ring_of_four_leaves_ties():
    """Nodes 0, 2 and 3 each lie on the only shortest path of three of the six pairs: exactly one half."""
    assert graph_features(range(4), [*ring(4), (0, 2)])["num_bottlenecks"] == 0


def test_the_node_that_joins_two_rings_is_the_only_bottleneck():
    """The shortest paths of ten of the other twelve pairs pass this node; every other node lies on three."""
    joined = [(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 0)]
    assert graph_features(range(5), joined)["num_bottlenecks"] == 1


def test_a_self_loop_makes_a_graph_cyclic_but_passes_no_path():
    star = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]
    with_loops = [*star, (1, 1), (2, 2)]
    assert graph_features(range(4), with_loops)["num_bottlenecks"] == 1
    assert graph_features(range(4), [(0, 1), (1, 2), (2, 2), (2, 3)])["num_levels"] == 0
    assert graph_features(range(4), [(0, 1), (1, 2), (2, 3)])["num_levels"] == 4


def test_large_cyclic_graphs_are_counted_too():
    """A two-way star of 300 leaves is too large for exact arithmetic, but its hub is still a bottleneck."""
    arcs = [arc for leaf in range(1, 301) for arc in ((0, leaf), (leaf, 0))]
    assert graph_features(range(301), arcs)["num_bottlenecks"] == 1


def test_the_order_of_tasks_and_arcs_changes_nothing():
    rng = random.Random(7)
    nodes, arcs = list(range(8)), [tuple(rng.choices(range(8), k=2)) for _ in range(20)]
    shuffled = rng.sample(nodes, len(nodes)), rng.sample(arcs, len(arcs))
    assert graph_features(*shuffled) == graph_features(nodes, arcs)


def test_parallelism_is_the_widest_level_not_the_largest_set_of_independent_tasks():
    """a -> b, and c alone: b and c could run in parallel, but no level has more than two nodes."""
    features = graph_features("abcd", [("a", "b"), ("b", "d")])
    assert (features["max_parallelism"], features["num_levels"], features["critical_path_length"]) == (2, 3, 2)
