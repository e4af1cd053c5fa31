"""The features of plans with special graphs, against numbers worked out by hand from the feature specification."""

import pytest

from tests.support.plans import EMPTY_PLAN, ONE_TASK, features_of

THREE_NODES_TWO_ARCS_INTO_ONE = {
    "num_nodes": 3.0,
    "num_edges": 2.0,
    "density": 1 / 3,
    "avg_in_degree": 1 / 3,
    "max_in_degree": 1.0,
    "critical_path_length": 1.0,
    "max_parallelism": 2.0,
    "num_levels": 2.0,
    "avg_coupling": 2 / 3,
    "graph_complexity_score": 0.2 + 0.8 / 9 + 0.06,
}


def chain(*dependencies: list[str]) -> list[dict]:
    """Tasks t0, t1, ... with these dependencies and nothing else."""
    return [{"task_id": f"t{number}", "dependencies": ids} for number, ids in enumerate(dependencies)]


@pytest.mark.parametrize(
    ("tasks", "differences"),
    [
        pytest.param([], {}, id="empty plan"),
        pytest.param([{"task_id": "a"}], ONE_TASK, id="single node"),
        pytest.param(
            [{"task_id": ""}, {"task_id": " "}],
            {
                "num_tasks": 2.0,
                "num_nodes": 2.0,
                "max_parallelism": 2.0,
                "num_levels": 1.0,
                "graph_complexity_score": 0.03,
            },
            id="the empty string and a blank are two ids",
        ),
        pytest.param(
            [{"task_id": "a", "dependencies": ["a"]}],
            {
                "num_tasks": 1.0,
                "num_nodes": 1.0,
                "num_edges": 1.0,
                "avg_in_degree": 1.0,
                "max_in_degree": 1.0,
                "max_parallelism": 1.0,
                "avg_coupling": 1.0,
                "graph_complexity_score": 0.4 / 3,
            },
            id="self loop",
        ),
        pytest.param(
            chain([], ["t0"], ["t1"]),
            {
                "num_tasks": 3.0,
                "num_nodes": 3.0,
                "num_edges": 2.0,
                "density": 1 / 3,
                "avg_in_degree": 1 / 3,
                "max_in_degree": 0.5,
                "critical_path_length": 2.0,
                "max_parallelism": 1.0,
                "num_levels": 3.0,
                "avg_coupling": 2 / 3,
                "graph_complexity_score": 0.2 + 0.8 / 9 + 0.09,
            },
            id="chain of three: its middle node ties at one half",
        ),
        pytest.param(
            chain(["t2"], ["t0"], ["t1"]),
            {
                "num_tasks": 3.0,
                "num_nodes": 3.0,
                "num_edges": 3.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 0.5,
                "max_parallelism": 1.0,
                "avg_coupling": 1.0,
                "graph_complexity_score": 0.3 + 0.4 / 3,
            },
            id="ring of three: each node ties at one half",
        ),
        pytest.param(
            chain(["t1", "t2", "t3"], ["t0"], ["t0"], ["t0"]),
            {
                "num_tasks": 4.0,
                "num_nodes": 4.0,
                "num_edges": 6.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 1.0,
                "max_parallelism": 1.0,
                "avg_coupling": 1.5,
                "num_bottlenecks": 1.0,
                "graph_complexity_score": 0.5,
            },
            id="two-way star: all paths pass its hub",
        ),
        pytest.param(
            [{"task_id": "a", "dependencies": ["nobody"]}],
            {
                "num_tasks": 1.0,
                "num_nodes": 2.0,
                "num_edges": 1.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 1.0,
                "critical_path_length": 1.0,
                "max_parallelism": 1.0,
                "num_levels": 2.0,
                "avg_coupling": 0.5,
                "graph_complexity_score": 0.3 + 0.2 / 3 + 0.06,
            },
            id="ghost dependency",
        ),
        pytest.param(
            [{"task_id": "a"}, {"task_id": "b", "dependencies": ["a"]}, {"task_id": "b", "dependencies": ["c"]}],
            {"num_tasks": 3.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="duplicate ids merge their arcs",
        ),
        pytest.param(
            [{"task_id": "c", "dependencies": "ab"}],
            {"num_tasks": 1.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="a string of dependencies counts each character",
        ),
        pytest.param(
            [{"task_id": "x", "dependencies": [1, "1"]}],
            {"num_tasks": 1.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="the number 1 and the string '1' are two ids",
        ),
    ],
)
def test_a_plan_yields_the_numbers_of_the_specification(tasks: list[dict], differences: dict[str, float]):
    assert features_of(*tasks) == pytest.approx({**EMPTY_PLAN, **differences}, abs=1e-12)
