"""`nhm seed`: documents to try the platform with."""

import gc
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.database import Database


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Load documents from this folder's .jsonl.gz files (MongoDB Extended JSON) instead of making some up.",
)
@click.option("--rebase", is_flag=True, help="Shift all times so that the newest feedback is from the moment before.")
def seed(folder: Path | None, *, rebase: bool) -> None:
    """Write demo documents into MongoDB: a year of plans, opinions and feedback, some of them blemished.

    Doing it again replaces them; nothing is doubled. Refused where ENVIRONMENT is production.
    """
    from nhm_assets.demo.documents import made_up_documents
    from nhm_assets.demo.load import FILES, make_indexes, replace_documents
    from nhm_assets.feedback.stored_features import ensure_index
    from nhm_assets.resource_factories import mongo_of

    gc.enable()
    warnings.simplefilter("ignore")
    settings = Settings.load()
    if settings.in_production:
        raise UsageError("nhm seed writes demo documents, and ENVIRONMENT is production: nothing was written")
    if rebase and folder is None:
        raise UsageError("--rebase goes with --from: documents made up here always end at this moment")
    documents = _loaded(folder, settings, rebase=rebase) if folder else made_up_documents(settings.now())
    with mongo_of(settings).database() as database:
        make_indexes(database, settings)
        ensure_index(database[settings.features_collection])
        for name, made in documents.items():
            collection = getattr(settings, FILES[name])
            written = replace_documents(database, collection, made, unique=_UNIQUE.get(name))
            click.echo(f"{collection}: {written:,} documents")
        _report_size(database, settings)


_UNIQUE = {"plan_features": "plan_id", "cognitive_ledger": "plan_id"}


def _loaded(folder: Path, settings: Settings, *, rebase: bool) -> dict[str, Iterable[dict[str, Any]]]:
    from nhm_assets.demo.load import FILES, newest_feedback, read_documents, shift_to, shifted

    by = timedelta(0)
    if rebase:
        newest = newest_feedback(read_documents(folder / "feedback.jsonl.gz"))
        if newest is None:
            raise UsageError(f"no feedback in {folder} carries a time, so there is nothing to rebase by")
        by = shift_to(settings.now(), newest)
    return {name: (shifted(document, by) for document in read_documents(folder / f"{name}.jsonl.gz")) for name in FILES}


def _report_size(database: "Database[dict[str, Any]]", settings: Settings) -> None:
    total = database[settings.feedback_collection].estimated_document_count()
    click.echo(f"database {settings.mongodb_database} now holds {total:,} feedback documents")
