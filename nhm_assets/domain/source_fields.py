"""The fields of the documents that the platform reads, and of the features that it writes back: one table.

Dagster's UI, the lineage of columns and docs/dataset.md are made from it.
"""

from typing import Final, NamedTuple

FEEDBACK: Final = "specialist_feedback"
OPINIONS: Final = "specialist_opinions"
PLANS: Final = "cognitive_plans"
FEATURES: Final = "plan_features"


class SourceField(NamedTuple):
    """A field of a document.

    Attributes:
        name: its path, with dots.
        kind: its type in MongoDB.
        meaning: what it says, with its unit and values.
    """

    name: str
    kind: str
    meaning: str


_IN_PLANS: Final = (
    SourceField("tasks", "array", "The tasks of the plan, each a map."),
    SourceField("tasks.task_id", "string", "Id of a task; the nodes of the plan's graph."),
    SourceField("tasks.task_type", "string", "Such as analysis, transformation, validation, integration."),
    SourceField("tasks.description", "string", "What the task does. Its words tell patterns and anti-patterns."),
    SourceField("tasks.dependencies", "array of string", "Ids of the tasks before it; the arcs of the graph."),
    SourceField("tasks.estimated_duration_ms", "int or null", "Estimated duration in milliseconds; null counts as 0."),
    SourceField("risk_score", "double or null", "Risk of the plan, usually 0 to 1."),
    SourceField("complexity_score", "double", "Complexity of the plan, usually 0 to 1."),
    SourceField("original_domain", "string", "Domain of the plan, such as security-analysis."),
    SourceField("original_priority", "string", "low, normal, high or critical."),
)


def _inside(parent: str) -> tuple[SourceField, ...]:
    return tuple(field._replace(name=f"{parent}.{field.name}") for field in _IN_PLANS)


SOURCE_FIELDS: Final = {
    FEEDBACK: (
        SourceField("feedback_id", "string", "Id of the feedback."),
        SourceField("opinion_id", "string", "The opinion that was reviewed."),
        SourceField("plan_id", "string", "The plan of that opinion; used where the opinion names none."),
        SourceField("specialist_type", "string", "The specialist that gave the opinion."),
        SourceField("human_rating", "double", "How good the reviewer finds the opinion, 0 to 1."),
        SourceField("human_recommendation", "string", "approve, reject or review_required; becomes the label."),
        SourceField("submitted_at", "date or ISO string", "When it was submitted, in UTC."),
        SourceField("submitted_by", "string", "Who reviewed. Never read into a dataset."),
        SourceField("feedback_notes", "string", "Free text. Only a beginning like [AUTO] is looked at."),
        SourceField("feedback_source", "string", "approval_service, or who else sent it."),
        SourceField("schema_version", "string", "Version of the document's schema. Not read."),
        SourceField("metadata", "map", "Marks of scripts (auto_generated, balanced_dataset) and the source."),
    ),
    OPINIONS: (
        SourceField("opinion_id", "string", "Id of the opinion."),
        SourceField("plan_id", "string", "The plan that it is about."),
        SourceField("specialist_type", "string", "The specialist that gave it."),
        SourceField("evaluated_at", "date", "When it was given."),
        SourceField("created_at", "date", "When it was stored; not in every document."),
        SourceField("cognitive_plan", "map", "The plan itself; where it is missing, the plan of the ledger is read."),
        *_inside("cognitive_plan"),
        SourceField("recommendation", "string", "approve, reject, review_required or conditional (schema version 1)."),
        SourceField("confidence_score", "double", "How sure the specialist is, 0 to 1 (schema version 1)."),
        SourceField("risk_score", "double", "The risk that the specialist sees, 0 to 1 (schema version 1)."),
        SourceField("opinion", "map", "The three fields above in documents of schema version 2, and metadata."),
        SourceField("opinion.metadata.model_version", "string", "The version in Production when it was given."),
        SourceField("opinion.metadata.model_source", "string", "ml_model if a model of the registry answered."),
        SourceField("schema_version", "int or string", "1, or 2.0.0."),
    ),
    PLANS: (
        SourceField("plan_id", "string", "Id of the plan; unique."),
        SourceField("plan_data", "map", "The plan."),
        *_inside("plan_data"),
    ),
    FEATURES: (
        SourceField("plan_id", "string", "Id of the plan; unique."),
        SourceField(
            "features", "map or JSON string", "The 26 features by name, in `aggregated_features` or at the top."
        ),
        SourceField("timestamp", "double", "When they were computed, in seconds since 1970."),
        SourceField("extractor", "map", "Name and version of who computed them. Documents of the specialists lack it."),
    ),
}
"""Asset of a collection -> its fields, those that are read first."""


def in_plan(field: str) -> tuple[tuple[str, str], ...]:
    """Where a field of a plan is: in the opinion, else in the ledger."""
    return ((OPINIONS, f"cognitive_plan.{field}"), (PLANS, f"plan_data.{field}"))
