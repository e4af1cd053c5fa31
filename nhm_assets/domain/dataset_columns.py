"""What each column of the dataset means: unit, range, and the fields that it comes from. One table.

Dagster's UI, the lineage of columns, `nhm lineage` and docs/dataset.md are made from it.
"""

from typing import Final, NamedTuple

from nhm_assets.domain.source_fields import FEATURES, FEEDBACK, OPINIONS, in_plan


class Column(NamedTuple):
    """A column of the dataset.

    Attributes:
        name: of the column.
        kind: its type.
        meaning: in one sentence.
        unit: empty if it has none.
        span: its values or its range.
        sources: asset and field that it comes from, as pairs; empty if it comes from no document.
        nullable: whether it may be NaN.
    """

    name: str
    kind: str
    meaning: str
    unit: str
    span: str
    sources: tuple[tuple[str, str], ...] = ()
    nullable: bool = False


_STORED: Final = (FEATURES, "features")
_NODES, _ARCS = "tasks.task_id", "tasks.dependencies"
_GRAPH: Final = (_NODES, _ARCS)


def _feature(name: str, meaning: str, span: str, *fields: str, unit: str = "") -> Column:
    """A feature: the stored one where there is one, else computed from these fields of the plan."""
    computed = tuple(source for field in fields for source in in_plan(field))
    return Column(name, "float64", meaning, unit, span, (_STORED, *computed))


def _embedding(name: str, meaning: str, span: str) -> Column:
    meaning = f"{meaning} NaN if no specialist stored it."
    return Column(name, "float64", meaning, "", span, (_STORED,), nullable=True)


_ROW: Final = (
    Column("feedback_id", "string", "The feedback that labels the row.", "", "any", ((FEEDBACK, "feedback_id"),)),
    Column(
        "opinion_id",
        "string",
        "The opinion that was reviewed; one row each.",
        "",
        "unique",
        ((FEEDBACK, "opinion_id"), (OPINIONS, "opinion_id")),
    ),
    Column(
        "plan_id",
        "string",
        "The plan of the opinion. Rows of one plan are in the same split.",
        "",
        "any",
        ((OPINIONS, "plan_id"), (FEEDBACK, "plan_id")),
    ),
    Column(
        "submitted_at",
        "timestamp",
        "When the feedback was submitted; the rows are sorted by it.",
        "UTC",
        "in the window",
        ((FEEDBACK, "submitted_at"),),
    ),
    Column(
        "human_rating",
        "float64",
        "How good the reviewer finds the opinion. Not learned.",
        "",
        "0 to 1",
        ((FEEDBACK, "human_rating"),),
    ),
    Column(
        "label",
        "int64",
        "The class that is learned.",
        "",
        "0 reject, 1 approve, 2 review_required",
        ((FEEDBACK, "human_recommendation"),),
    ),
    Column("source", "string", "Whether people gave the feedback, or who made it up.", "", "real, synthetic, llm"),
    Column(
        "provenance",
        "string",
        "Who gave the feedback.",
        "",
        "reviewer, approval, scripted, none",
        (
            (FEEDBACK, "feedback_id"),
            (FEEDBACK, "feedback_notes"),
            (FEEDBACK, "feedback_source"),
            (FEEDBACK, "metadata"),
        ),
    ),
    Column(
        "split",
        "string",
        "What the row is for: the oldest 70 % train, the newest 15 % test.",
        "",
        "train, validation, test",
        ((FEEDBACK, "submitted_at"), (OPINIONS, "plan_id")),
    ),
)

_COMPUTED: Final = (
    _feature("num_tasks", "Number of tasks.", "0 and more", "tasks", unit="tasks"),
    _feature("priority_score", "Priority; 0.5 if unknown.", "0 to 1", "original_priority"),
    _feature("total_duration_ms", "Sum of the durations.", "any", "tasks.estimated_duration_ms", unit="ms"),
    _feature("avg_duration_ms", "Mean duration of a task.", "any", "tasks.estimated_duration_ms", unit="ms"),
    _feature("risk_score", "Risk of the plan; 0.5 if missing, 0 if no number.", "usually 0 to 1", "risk_score"),
    _feature(
        "complexity_score",
        "Complexity of the plan; 0.5 if missing, 0 if no number.",
        "usually 0 to 1",
        "complexity_score",
    ),
    _feature("domain_risk_weight", "Risk of the domain; 0.5 if unknown.", "0.15 to 0.5", "original_domain"),
    _feature("avg_task_complexity_factor", "Mean factor of the known task types.", "1 to 1.8", "tasks.task_type"),
    _feature("num_patterns_detected", "Patterns in the descriptions.", "0 to 4", "tasks.description"),
    _feature("num_anti_patterns_detected", "Anti-patterns in the descriptions.", "0 to 2", "tasks.description"),
    _feature("avg_pattern_quality", "Mean quality of these patterns; 0.5 if none.", "0.5 to 0.9", "tasks.description"),
    _feature("total_anti_pattern_penalty", "Sum of the penalties.", "-0.7 to 0", "tasks.description"),
    _feature("num_nodes", "Nodes of the plan's graph.", "0 and more", *_GRAPH, unit="nodes"),
    _feature("num_edges", "Arcs of the plan's graph.", "0 and more", *_GRAPH, unit="arcs"),
    _feature("density", "Arcs in relation to possible arcs.", "0 and more, usually up to 1", *_GRAPH),
    _feature("avg_in_degree", "Mean in-degree centrality.", "0 and more, usually up to 1", *_GRAPH),
    _feature("max_in_degree", "Largest in-degree centrality.", "0 and more, usually up to 1", *_GRAPH),
    _feature("critical_path_length", "Arcs on the longest path; 0 if cyclic.", "0 and more", *_GRAPH, unit="arcs"),
    _feature("max_parallelism", "Most nodes of one depth; 1 if cyclic.", "0 and more", *_GRAPH, unit="nodes"),
    _feature("num_levels", "Depths of the graph; 0 if cyclic.", "0 and more", *_GRAPH, unit="levels"),
    _feature("avg_coupling", "Arcs per node.", "0 and more", *_GRAPH),
    _feature("num_bottlenecks", "Nodes on more than half of the shortest paths.", "0 and more", *_GRAPH, unit="nodes"),
    _feature("graph_complexity_score", "Of density, coupling and levels.", "0 to 1", *_GRAPH),
    _embedding("mean_norm", "Mean norm of the embeddings of the tasks.", "0 and more"),
    _embedding("std_norm", "Standard deviation of these norms.", "0 and more"),
    _embedding("avg_diversity", "How different the embeddings are.", "any"),
)

DATASET_COLUMNS: Final = (*_ROW, *_COMPUTED)
"""Every column of the dataset, in order."""

COLUMN: Final = {column.name: column for column in DATASET_COLUMNS}
"""The same by name."""


def fields_of(name: str) -> tuple[str, ...]:
    """The fields that a column comes from, as `asset.field`."""
    return tuple(f"{asset}.{field}" for asset, field in COLUMN[name].sources)
