"""Features of the simplest plans, worked out by hand from the feature specification."""

from nhm_assets.feedback.features import compute_features

EMPTY_PLAN = {
    "num_tasks": 0.0,
    "priority_score": 0.5,
    "total_duration_ms": 0.0,
    "avg_duration_ms": 0.0,
    "risk_score": 0.5,
    "complexity_score": 0.5,
    "domain_risk_weight": 0.5,
    "avg_task_complexity_factor": 1.0,
    "num_patterns_detected": 0.0,
    "num_anti_patterns_detected": 0.0,
    "avg_pattern_quality": 0.5,
    "total_anti_pattern_penalty": 0.0,
    "num_nodes": 0.0,
    "num_edges": 0.0,
    "density": 0.0,
    "avg_in_degree": 0.0,
    "max_in_degree": 0.0,
    "critical_path_length": 0.0,
    "max_parallelism": 0.0,
    "num_levels": 0.0,
    "avg_coupling": 0.0,
    "num_bottlenecks": 0.0,
    "graph_complexity_score": 0.0,
}
"""The features of a plan without tasks and scores. The other plans name only what differs."""

ONE_TASK = {
    "num_tasks": 1.0,
    "num_nodes": 1.0,
    "avg_in_degree": 1.0,
    "max_in_degree": 1.0,
    "max_parallelism": 1.0,
    "num_levels": 1.0,
    "graph_complexity_score": 0.03,
}


def features_of(*tasks: dict, **fields) -> dict[str, float]:
    """The features of a plan with these tasks, these fields and a domain."""
    return compute_features({"original_domain": "TECHNICAL", "tasks": list(tasks), **fields})
