"""What `nhm lineage --feedback` says: which datasets hold a feedback, and which versions learned from it."""

from typing import Any

import click

from nhm_assets.commands.lineage_of_version import numbered, shown_stage
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

Facts = dict[str, Any]

_LEARNED = ("specialist", "week", "split", "version", "stage", "learned from it", "dataset")


def facts_about_feedback(settings: Settings, feedback_id: str) -> Facts:
    """Where this feedback is: documents, datasets and the versions they made, quarantine, and what cannot be read."""
    with startup_without_gc():
        from nhm_assets.domain.dataset_schema import QUARANTINE, TEST
        from nhm_assets.domain.specialists import recorded_specialist
        from nhm_assets.registry.audit_log import AUDIT_LOG
        from nhm_assets.registry.datasets import datasets_with
        from nhm_assets.registry.history import known_specialist
        from nhm_assets.registry.versions import versions_with_tag
        from nhm_assets.registry.vocabulary import DATA_VERSION_TAG, INCREMENT_OF_TAG, PARTITION_TAG
        from nhm_assets.resource_factories import mlflow_of, mongo_of

    holdings, faults = datasets_with(feedback_id, settings.storage)
    with mongo_of(settings).database() as database:
        stored = database[settings.feedback_collection].count_documents({"feedback_id": feedback_id})
        quarantined = list(
            database[QUARANTINE].find({"document.feedback_id": feedback_id}, {"reason": 1, "partition": 1})
        )
        names = {one.specialist for one in holdings}
        known = {name: known_specialist(database[AUDIT_LOG], name) or recorded_specialist(name) for name in names}
    datasets = []
    with mlflow_of(settings).reading() as client:
        for one in holdings:
            model, learned = known[one.specialist].registered_model, one.split != TEST
            trained = [
                version
                for version in versions_with_tag(client, model, DATA_VERSION_TAG, one.data_version)
                if version.tags.get(PARTITION_TAG) == f"{one.specialist}|{one.week}"
            ]
            if learned:
                # An increment holds the version that it corrects.
                numbers = [str(version.version) for version in trained]
                more = [versions_with_tag(client, model, INCREMENT_OF_TAG, number) for number in numbers]
                trained += [each for found in more for each in found if str(each.version) not in numbers]
            datasets.append({**vars(one), "learned": learned, "versions": [numbered(version) for version in trained]})
    return {
        "feedback_id": feedback_id,
        "documents": stored,
        "datasets": datasets,
        "quarantine": [{"partition": one["partition"], "reason": one["reason"]} for one in quarantined],
        "unreadable": faults,
    }


def print_feedback(facts: Facts) -> None:
    """Print the facts, with a table of the datasets."""
    from nhm_assets.commands.tables import print_table

    click.echo(f"Feedback {facts['feedback_id']}: {facts['documents']} documents in MongoDB")
    rows = [
        [one["specialist"], one["week"], one["split"], *cells, one["address"]]
        for one in facts["datasets"]
        for cells in _version_cells(one)
    ]
    if rows:
        print_table("Datasets that hold it, and what was trained on them", _LEARNED, rows, numbers={"version"})
    else:
        click.echo(_none_holds_it(facts))
    for one in facts["quarantine"]:
        click.echo(f"In feedback_quarantine: {one['partition']}, {one['reason']}")
    for fault in facts["unreadable"]:
        click.echo(f"Not looked at: {fault}")


def _none_holds_it(facts: Facts) -> str:
    if facts["unreadable"]:
        return "No dataset that can be read holds it. A version may have learned from it in a dataset named below."
    return (
        "No stored dataset holds it. Only a version whose dataset is no longer stored can have learned from it:"
        " `nhm lineage SPECIALIST --version N` says so."
    )


def _version_cells(one: Facts) -> list[list[str]]:
    learned = "yes" if one["learned"] else "no, only judged by it"
    return [[each["version"], shown_stage(each), learned] for each in one["versions"]] or [["none", "", ""]]
