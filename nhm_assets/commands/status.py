"""`nhm status`: whether the services answer, and what is in production, since when and from which data."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import Specialist
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_COLUMNS = ("specialist", "version", "since", "window", "data version", "source", "prec.", "recall", "F1")


@click.command()
def status() -> None:
    """Show whether MongoDB, MLflow, storage and Dagster's database answer, and what is in production.

    Exit code: 0 if all services answer, otherwise 1.
    """
    settings = Settings.load()
    with startup_without_gc():
        from nhm_assets.commands.health import check_services
        from nhm_assets.instance.home import prepare_home

        prepare_home(settings)
        services = check_services(settings)
    for service in services:
        click.echo(f"{service.name:8} {'FAULT' if service.fault else 'ok':6} {service.address}")
        if service.fault:
            click.echo(f"{'':15} {service.fault}")
    answering = {service.name for service in services if not service.fault}
    if "MongoDB" in answering:
        _print_missing_indexes(settings)
    if "MLflow" in answering:
        _print_production(settings)
    if {"MongoDB", "MLflow"} <= answering:
        _print_foreign_moves(settings)
    for remark in settings.remarks:
        click.echo(f"\n{remark.sentence}.")
    sys.exit(0 if len(answering) == len(services) else 1)


def _print_missing_indexes(settings: Settings) -> None:
    from nhm_assets.commands.health import missing_indexes
    from nhm_assets.resource_factories import mongo_of

    with mongo_of(settings).database() as database:
        commands = missing_indexes(database, settings)
    if commands:
        click.echo(
            f"\nIndexes are missing in database {settings.mongodb_database}, so MongoDB scans whole collections to read"
            " a window. The owner of the database can create them in mongosh:"
        )
        for command in commands:
            click.echo(f"  {command}")


def _print_production(settings: Settings) -> None:
    from nhm_assets.commands.tables import print_table
    from nhm_assets.resource_factories import mlflow_of

    with mlflow_of(settings).client() as client:
        rows = [[str(specialist), *_cells(client, specialist)] for specialist in Specialist]
    click.echo()
    print_table("In production", _COLUMNS, rows, numbers={"version", "prec.", "recall", "F1"})


def _print_foreign_moves(settings: Settings) -> None:
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.registry.foreign_moves import pointer_of, remedy
    from nhm_assets.resource_factories import mlflow_of, mongo_of

    with mongo_of(settings).database() as database, mlflow_of(settings).client() as client:
        for specialist in Specialist:
            pointer = pointer_of(client, database[AUDIT_LOG], specialist.registered_model)
            if pointer.is_foreign:
                click.echo(f"\n{pointer.sentence}. {remedy(specialist, pointer.audited)}")


def _cells(client: "MlflowClient", specialist: Specialist) -> list[str]:
    from nhm_assets.registry.versions import version_in_production
    from nhm_assets.registry.vocabulary import DATA_SOURCE_TAG, DATA_VERSION_TAG, WINDOW_END_TAG
    from resources.mlflow import run_state

    try:
        version = version_in_production(client, specialist.registered_model)
    except RegistryError:
        return ["several"]
    if version is None:
        return ["none"]
    # MLflow does not record when a stage changed. Nothing else updates a version while it is in Production.
    since = datetime.fromtimestamp(version.last_updated_timestamp / 1000, UTC)
    # A run that was removed for good (`mlflow gc`) leaves the version behind.
    has_run = bool(version.run_id) and run_state(client, version.run_id) is not None
    metrics = client.get_run(version.run_id).data.metrics if has_run else {}
    return [
        str(version.version),
        f"{since:%Y-%m-%d %H:%M}",
        f"to {version.tags.get(WINDOW_END_TAG, '?')[:10]}",
        version.tags.get(DATA_VERSION_TAG, "?")[:12],
        version.tags.get(DATA_SOURCE_TAG, "?"),
        *(f"{metrics[name]:.3f}" if name in metrics else "?" for name in ("test_precision", "test_recall", "test_f1")),
    ]
