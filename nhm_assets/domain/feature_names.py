"""The names of the features, in column order; without pandas, so that features can be computed on any Python alone."""

from typing import Final

COMPUTED_FEATURES: Final = (
    "num_tasks",
    "priority_score",
    "total_duration_ms",
    "avg_duration_ms",
    "risk_score",
    "complexity_score",
    "domain_risk_weight",
    "avg_task_complexity_factor",
    "num_patterns_detected",
    "num_anti_patterns_detected",
    "avg_pattern_quality",
    "total_anti_pattern_penalty",
    "num_nodes",
    "num_edges",
    "density",
    "avg_in_degree",
    "max_in_degree",
    "critical_path_length",
    "max_parallelism",
    "num_levels",
    "avg_coupling",
    "num_bottlenecks",
    "graph_complexity_score",
)
"""The 23 features that can be computed from a plan alone, in column order."""

EMBEDDING_FEATURES: Final = ("mean_norm", "std_norm", "avg_diversity")
"""The three features that only a specialist with its embedding model can compute; NaN otherwise."""

FEATURE_NAMES: Final = COMPUTED_FEATURES + EMBEDDING_FEATURES
"""The 26 features, in the order in which models receive them."""
