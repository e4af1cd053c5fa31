"""The counterpart of our dataset: one query per document, and features computed by networkx.

This is a first version that many people write: for each feedback it looks up the opinion, its stored features and,
if the opinion has no plan, the plan, one by one. The features follow the platform's feature specification, with
networkx's own functions. It spends no time on flawed documents, and writes no quarantine, digest or file.
"""

import json
import math
from typing import TYPE_CHECKING, Any

import networkx as nx
import pandas as pd

from nhm_assets.domain.dataset_schema import COLUMNS, EMBEDDING_FEATURES, FEATURE_NAMES, LABELS
from nhm_assets.domain.partitions import Window
from nhm_assets.feedback.reader import CollectionNames

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]

_PRIORITIES = {"low": 0.25, "normal": 0.5, "high": 0.75, "critical": 1.0}
_DOMAINS = {
    "security-analysis": 0.35,
    "architecture-review": 0.30,
    "performance-optimization": 0.20,
    "code-quality": 0.15,
}
_FACTORS = {"analysis": 1.2, "transformation": 1.5, "validation": 1.0, "integration": 1.8}
_PATTERNS = [
    (["service", "api", "endpoint", "rest"], 0.8),
    (["controller", "service", "repository", "model"], 0.9),
    (["event", "queue", "publish", "subscribe"], 0.85),
    (["command", "query", "read", "write"], 0.75),
]
_ANTI_PATTERNS = [(["manager", "handler", "util"], -0.3), (["complex", "nested", "deep"], -0.4)]


def collect(database: "Database[Document]", names: CollectionNames, specialist: str, window: Window) -> pd.DataFrame:
    """The rows of one specialist's window, for documents without flaws."""
    documents = database[names.feedback].find(
        {"specialist_type": specialist, "submitted_at": {"$gte": window.start, "$lt": window.end}}
    )
    rows = [_row(database, names, feedback) for feedback in documents]
    frame = pd.DataFrame(rows).sort_values(["submitted_at", "feedback_id"], ignore_index=True)
    frame["source"], frame["provenance"] = "real", "reviewer"
    frame["split"] = "test"
    frame.loc[: int(0.85 * len(frame)) - 1, "split"] = "validation"
    frame.loc[: int(0.70 * len(frame)) - 1, "split"] = "train"
    return frame[list(COLUMNS)]


def _row(database: "Database[Document]", names: CollectionNames, feedback: Document) -> Document:
    opinion = database[names.opinions].find_one(
        {"opinion_id": feedback["opinion_id"], "specialist_type": feedback["specialist_type"]}
    )
    assert opinion is not None
    stored = database[names.features].find_one({"plan_id": opinion["plan_id"]})
    if stored is not None:
        aggregated = json.loads(stored["features"])["aggregated_features"]
        features = {name: float(aggregated[name]) for name in FEATURE_NAMES}
    else:
        plan = opinion.get("cognitive_plan")
        if plan is None:
            entry = database[names.plans].find_one({"plan_id": opinion["plan_id"]})
            assert entry is not None
            plan = entry["plan_data"]
        features = plan_features(plan) | dict.fromkeys(EMBEDDING_FEATURES, math.nan)
    return {
        "feedback_id": feedback["feedback_id"],
        "opinion_id": feedback["opinion_id"],
        "plan_id": opinion["plan_id"],
        "submitted_at": feedback["submitted_at"],
        "human_rating": feedback["human_rating"],
        "label": LABELS[feedback["human_recommendation"]],
        **features,
    }


def plan_features(plan: Document) -> dict[str, float]:
    """The 23 features of a plan."""
    tasks = plan["tasks"]
    total = sum(task.get("estimated_duration_ms") or 0 for task in tasks)
    factors = [_FACTORS[task["task_type"]] for task in tasks if task.get("task_type") in _FACTORS]
    return {
        "num_tasks": float(len(tasks)),
        "priority_score": _PRIORITIES.get(plan.get("original_priority"), 0.5),
        "total_duration_ms": float(total),
        "avg_duration_ms": total / len(tasks) if tasks else 0.0,
        "risk_score": float(plan.get("risk_score", 0.5)),
        "complexity_score": float(plan.get("complexity_score", 0.5)),
        "domain_risk_weight": _DOMAINS.get(plan["original_domain"], 0.5),
        "avg_task_complexity_factor": sum(factors) / len(factors) if factors else 1.0,
        **_pattern_features([task.get("description", "").lower() for task in tasks]),
        **_graph_features(_graph(tasks)),
    }


def _pattern_features(descriptions: list[str]) -> dict[str, float]:
    def detected(phrases: list[str]) -> bool:
        return any(phrase in description for description in descriptions for phrase in phrases)

    qualities = [quality for phrases, quality in _PATTERNS if detected(phrases)]
    penalties = [penalty for phrases, penalty in _ANTI_PATTERNS if detected(phrases)]
    return {
        "num_patterns_detected": float(len(qualities)),
        "num_anti_patterns_detected": float(len(penalties)),
        "avg_pattern_quality": sum(qualities) / len(qualities) if qualities else 0.5,
        "total_anti_pattern_penalty": float(sum(penalties)),
    }


def _graph(tasks: list[Document]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(task["task_id"] for task in tasks)
    graph.add_edges_from((dependency, task["task_id"]) for task in tasks for dependency in task.get("dependencies", []))
    return graph


def _graph_features(graph: nx.DiGraph) -> dict[str, float]:
    nodes, edges = graph.number_of_nodes(), graph.number_of_edges()
    density = nx.density(graph)
    centralities = list(nx.in_degree_centrality(graph).values())
    coupling = edges / nodes if nodes else 0.0
    if nx.is_directed_acyclic_graph(graph):
        generations = [len(generation) for generation in nx.topological_generations(graph)]
        length, widest, levels = nx.dag_longest_path_length(graph), max(generations, default=0), len(generations)
    else:
        length, widest, levels = 0, 1, 0
    bottlenecks = sum(value > 0.5 for value in nx.betweenness_centrality(graph).values())
    return {
        "num_nodes": float(nodes),
        "num_edges": float(edges),
        "density": density,
        "avg_in_degree": sum(centralities) / nodes if nodes else 0.0,
        "max_in_degree": max(centralities, default=0.0),
        "critical_path_length": float(length),
        "max_parallelism": float(widest),
        "num_levels": float(levels),
        "avg_coupling": coupling,
        "num_bottlenecks": float(bottlenecks),
        "graph_complexity_score": 0.3 * min(1, 2 * density) + 0.4 * min(1, coupling / 3) + 0.3 * min(1, levels / 10),
    }
