"""`nhm seed`: write demo documents into MongoDB."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.database import Database


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Load the .jsonl.gz files (MongoDB Extended JSON) in this folder. Default: generate documents.",
)
@click.option(
    "--rebase", is_flag=True, help="With --from: shift all times so that the newest feedback is one second old."
)
@click.option("--add", "count", type=click.IntRange(1, 100_000), help="Add this many new reviews, given just now.")
@click.option("--specialist", metavar="NAME", help="With --add: the specialist whose opinions are reviewed.")
def seed(folder: Path | None, *, rebase: bool, count: int | None, specialist: str | None) -> None:
    """Write demo plans, opinions and feedback into MongoDB: a year of them, up to the last closed week.

    A few of them are invalid on purpose. A second call replaces the documents of the first. With --add, new feedback
    arrives in the running week: enough of it starts a retraining (RETRAINING_FEEDBACK_THRESHOLD). Not allowed if
    ENVIRONMENT is production.
    """
    with startup_without_gc():
        from nhm_assets.demo.load import FILES, make_indexes, replace_documents
        from nhm_assets.feedback.stored_features import ensure_index
        from nhm_assets.resource_factories import mongo_of

    settings = Settings.load()
    if settings.in_production:
        raise UsageError("nothing was written: nhm seed writes demo documents, and ENVIRONMENT is production")
    if rebase and folder is None:
        raise UsageError("--rebase needs --from: generated documents always end with the last closed week")
    if (count is None) != (specialist is None) or (count and folder):
        raise UsageError("--add and --specialist belong together, and --from is another way: nothing was written")
    documents = _read_folder(folder, settings, rebase=rebase) if folder else _made_up(settings, count, specialist)
    with mongo_of(settings).database() as database:
        make_indexes(database, settings)
        ensure_index(database[settings.features_collection])
        for name, content in documents.items():
            collection = getattr(settings, FILES[name])
            written = replace_documents(database, collection, content, unique=_UNIQUE.get(name))
            click.echo(f"{collection}: {written:,} documents")
        _report_size(database, settings)


_UNIQUE = {"plan_features": "plan_id", "cognitive_ledger": "plan_id"}


def _made_up(settings: Settings, count: int | None, specialist: str | None) -> dict[str, Iterable[dict[str, Any]]]:
    from nhm_assets.demo.documents import further_documents, made_up_documents
    from nhm_assets.domain.partitions import Partition, last_closed_week, parse_specialist

    if count and specialist:
        return further_documents(settings.now(), parse_specialist(specialist), count)
    return made_up_documents(Partition.parse(last_closed_week(settings.now()), all_specialists()[0]).week_end)


def _read_folder(folder: Path, settings: Settings, *, rebase: bool) -> dict[str, Iterable[dict[str, Any]]]:
    from nhm_assets.demo.load import FILES, newest_feedback, read_documents, shift_to, shifted

    shift = timedelta(0)
    if rebase:
        newest = newest_feedback(read_documents(folder / "feedback.jsonl.gz"))
        if newest is None:
            raise UsageError(f"cannot rebase: no feedback in {folder} has a time")
        shift = shift_to(settings.now(), newest)
    return {
        name: (shifted(document, shift) for document in read_documents(folder / f"{name}.jsonl.gz")) for name in FILES
    }


def _report_size(database: "Database[dict[str, Any]]", settings: Settings) -> None:
    total = database[settings.feedback_collection].estimated_document_count()
    click.echo(f"database {settings.mongodb_database} now contains {total:,} feedback documents")
