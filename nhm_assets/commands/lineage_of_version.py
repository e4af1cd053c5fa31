"""What `nhm lineage` says of a version: what it was made from, what was decided about it, and which pods serve it."""

from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from nhm_assets.domain.specialists import Specialist

Facts = dict[str, Any]

_FEATURES = ("feature", "F1 lost without it", "least", "median", "greatest", "missing", "comes from")


def facts_about_version(settings: Settings, name: str, number: str | None, feature: str | None) -> Facts:
    """Everything that is known of one version; what can no longer be read is None.

    Args:
        settings: say where the services are.
        name: of the specialist.
        number: of the version; None for the one in Production.
        feature: the only one to show; None for all.

    Raises:
        UsageError: there is no such specialist, version or feature.
    """
    with startup_without_gc():
        from nhm_assets.domain.dataset_columns import fields_of
        from nhm_assets.domain.dataset_schema import FEATURE_NAMES
        from nhm_assets.domain.partitions import parse_specialist
        from nhm_assets.registry.audit_log import AUDIT_LOG
        from nhm_assets.registry.datasets import dataset_of
        from nhm_assets.registry.history import entries, known_specialist
        from nhm_assets.resource_factories import mlflow_of, mongo_of

    if feature is not None and feature not in FEATURE_NAMES:
        raise UsageError(f"unknown feature {feature!r}; choose from {', '.join(FEATURE_NAMES)}")
    with mlflow_of(settings).reading() as client, mongo_of(settings).database() as database:
        specialist = known_specialist(database[AUDIT_LOG], name) or parse_specialist(name)
        version = _version(client, specialist, number)
        log, shown = database[AUDIT_LOG], str(version.version)
        decisions = [_decision(entry) for entry in entries(log, specialist.registered_model, version=shown)]
        pods = _pods(settings, client, specialist, shown)
    dataset = dataset_of(version, settings.storage)
    importances = _importances(settings, version)
    names = [feature] if feature else sorted(FEATURE_NAMES, key=lambda one: -importances.get(one, 0.0))
    return {
        "specialist": str(specialist),
        **_made_from(version),
        "dataset": None if dataset is None else {"file": dataset.address, **_rows(dataset.frame)},
        "decisions": decisions,
        "pods": pods,
        "features": [
            {
                "feature": one,
                "importance": importances.get(one),
                **_values(None if dataset is None else dataset.frame, one),
                "fields": list(fields_of(one)),
            }
            for one in names
        ],
    }


def _version(client: Any, specialist: "Specialist", number: str | None) -> "ModelVersion":
    from nhm_assets.registry.versions import version_if_any, version_in_production

    model = specialist.registered_model
    version = version_if_any(client, model, number) if number else version_in_production(client, model)
    if version is None and number:
        raise UsageError(f"{model} has no version {number!r}; `nhm audit {specialist}` lists the versions")
    if version is None:
        raise UsageError(f"{model} has no version in Production: name one with --version")
    return version


def _made_from(version: "ModelVersion") -> Facts:
    from nhm_assets.registry import vocabulary

    tags = version.tags
    return {
        "model": version.name,
        **numbered(version),
        "mlflow_run_id": version.run_id,
        "increment_of": tags.get(vocabulary.INCREMENT_OF_TAG),
        "partition": tags.get(vocabulary.PARTITION_TAG),
        "window": [tags.get(vocabulary.WINDOW_START_TAG), tags.get(vocabulary.WINDOW_END_TAG)],
        "data_version": tags.get(vocabulary.DATA_VERSION_TAG),
        "code_version": tags.get(vocabulary.CODE_VERSION_TAG),
        "model_sha256": tags.get(vocabulary.SHA256_TAG),
        "dagster_run_id": tags.get(vocabulary.DAGSTER_RUN_TAG),
    }


def numbered(version: "ModelVersion") -> Facts:
    """Number and stage of a version, and whether its files were deleted."""
    from nhm_assets.registry.vocabulary import FILES_DELETED_TAG

    number, stage = str(version.version), version.current_stage
    return {"version": number, "stage": stage, "files_deleted": FILES_DELETED_TAG in version.tags}


def shown_stage(numbered: Facts) -> str:
    """The stage of a version in a text, which also says if its files were deleted."""
    return f"{numbered['stage']}, files deleted" if numbered["files_deleted"] else numbered["stage"]


def _rows(frame: Any) -> Facts:
    from nhm_assets.domain.dataset_schema import CLASS_NAMES, REAL, counts

    # Rows that were made up have ids, too, but no documents.
    real = frame[frame["source"] == REAL]
    return {
        "rows": len(frame),
        "splits": counts(frame["split"]),
        "labels": {CLASS_NAMES[int(code)]: count for code, count in counts(frame["label"]).items()},
        "sources": counts(frame["source"]),
        "provenance": counts(real["provenance"]),
        "feedback_documents": int(real["feedback_id"].nunique()),
        "opinion_documents": int(real["opinion_id"].nunique()),
        "plans": int(real["plan_id"].nunique()),
    }


def _values(frame: Any, feature: str) -> Facts:
    if frame is None:
        return dict.fromkeys(("least", "median", "greatest", "missing"))
    values = frame[feature].dropna()
    found = {"least": values.min(), "median": values.median(), "greatest": values.max()} if len(values) else {}
    numbers = {name: float(value) for name, value in found.items()}
    return {"least": None, "median": None, "greatest": None, **numbers, "missing": int(frame[feature].isna().sum())}


def _decision(entry: Facts) -> Facts:
    from nhm_assets.registry.history import time_of

    known = {name: entry.get(name) for name in ("kind", "version", "from_version", "actor", "reason")}
    return {"at": time_of(entry).isoformat(), "audit_id": str(entry["_id"]), **known}


def _pods(settings: Settings, client: Any, specialist: "Specialist", version: str) -> Facts:
    """What the pods say about this version; a sentence if they cannot be asked."""
    from nhm_assets.registry.versions import version_if_any
    from nhm_assets.resource_factories import kubernetes_of
    from nhm_assets.rollout.serving import Expected
    from nhm_assets.rollout.status_probe import ask_pods
    from nhm_assets.rollout.target import Target
    from resources.errors import ServiceError

    kubernetes = kubernetes_of(settings)
    if not kubernetes.configured:
        return {"reason": "not asked: no cluster is configured (KUBECONFIG is not set)", "pods": []}
    registered = version_if_any(client, specialist.registered_model, version)
    expected = Expected(str(specialist), version, (registered and registered.run_id) or None)
    try:
        with kubernetes.cluster() as cluster:
            serving = ask_pods(Target.of(settings, str(specialist), cluster), expected, wait=False)
    except ServiceError as error:
        return {"reason": f"not asked: {error}", "pods": []}
    pods = [{"pod": pod.pod, "version": pod.version, "verdict": pod.summary} for pod in serving.pods]
    return {"reason": serving.reason, "pods": pods}


def _importances(settings: Settings, version: "ModelVersion") -> dict[str, float]:
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.registry.vocabulary import PARTITION_TAG
    from nhm_assets.runs.importances import recorded_importances

    partition = version.tags.get(PARTITION_TAG)
    if partition is None:
        return {}
    with dagster_instance(settings) as instance:
        return recorded_importances(instance, partition, str(version.version))


def print_version(facts: Facts) -> None:
    """Print the facts, from the documents to the pods, and a table of the features."""
    from nhm_assets.commands.tables import print_table

    click.echo(f"{facts['model']} version {facts['version']}, {shown_stage(facts)}")
    for name, text in _lines(facts):
        click.echo(f"  {name:10} {text}")
    click.echo()
    rows = [_feature_cells(one) for one in facts["features"]]
    numbers = {"F1 lost without it", "least", "median", "greatest", "missing"}
    print_table("Features, the most important first", _FEATURES, rows, numbers=numbers)


def _lines(facts: Facts) -> list[tuple[str, str]]:
    """From the documents to the pods."""
    dataset, start_end = facts["dataset"], " to ".join(str(one or "?")[:10] for one in facts["window"])
    lines = [("partition", f"{facts['partition'] or 'none'}, feedback of {start_end}")]
    if facts["increment_of"]:
        lines.append(("corrects", f"version {facts['increment_of']}, which it holds: see --version for its dataset"))
    if dataset is None:
        lines.append(("dataset", f"data version {facts['data_version'] or '?'}, which can no longer be read"))
    else:
        documents = (
            f"{dataset['feedback_documents']} of feedback on {dataset['opinion_documents']} opinions about"
            f" {dataset['plans']} plans"
        )
        parts = map(_listed, (dataset["splits"], dataset["labels"], dataset["sources"]))
        shape = f"{dataset['rows']} rows: {'; '.join(parts)}"
        given = f"; {_listed(dataset['provenance'])}" if dataset["provenance"] else ""
        lines += [("documents", documents + given), ("dataset", dataset["file"]), ("", shape)]
    run = f"MLflow run {facts['mlflow_run_id'] or 'none'}, Dagster run {facts['dagster_run_id'] or 'none'}"
    lines += [("trained by", run), ("", f"code version {facts['code_version'] or '?'}")]
    for one in facts["decisions"]:
        # A version that took its place, or gave way to it, has a decision of its own.
        other = "" if one["version"] in (None, facts["version"]) else f"version {one['version']} "
        said = f"{one['at'][:16].replace('T', ' ')} {other}{one['kind']} by {one['actor']}: {one['reason']}"
        lines.append(("decision", said))
    lines.append(("pods", facts["pods"]["reason"]))
    return lines + [("", f"{one['pod']}: {one['verdict']}") for one in facts["pods"]["pods"]]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _feature_cells(one: Facts) -> list[str]:
    numbers = [
        "" if one[name] is None else f"{one[name]:.3f}" for name in ("importance", "least", "median", "greatest")
    ]
    return [one["feature"], *numbers, str(one["missing"] or ""), ", ".join(one["fields"])]
