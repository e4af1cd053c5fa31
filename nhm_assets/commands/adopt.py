"""`nhm adopt`: accepts a version that somebody else put into Production."""

from typing import TYPE_CHECKING

import click

from nhm_assets.commands.person import person, reason_option
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from resources.mlflow import Mlflow
    from resources.mongo import Mongo


@click.command()
@click.argument("specialist")
@reason_option
def adopt(specialist: str, reason: str) -> None:
    """Accept the version that somebody else put into Production for a SPECIALIST.

    The aliases are set to agree with the stage, and the audit log records who accepted the version, and why. Nothing is
    restarted. To go back instead, use `nhm rollback`.
    """
    settings = Settings.load()
    with startup_without_gc():
        from nhm_assets.domain.partitions import parse_specialist
        from nhm_assets.instance.home import prepare_home
        from nhm_assets.registry.audit_log import AUDIT_LOG
        from nhm_assets.registry.foreign_moves import adopt as adopt_version
        from nhm_assets.resource_factories import mlflow_of, mongo_of

        parsed = parse_specialist(specialist)
        prepare_home(settings)
    who = person(settings, "adopt")
    mongo, mlflow = mongo_of(settings), mlflow_of(settings)
    with mongo.database() as database, mlflow.client() as client:
        found = adopt_version(
            client,
            database[AUDIT_LOG],
            parsed.registered_model,
            reason=reason,
            fields={"specialist": str(parsed), "actor": who, "origin": "command"},
            now=settings.now(),
            wait_s=settings.promotion_wait_s,
        )
        _show(settings, mongo, mlflow)
    version = found.stage[0]
    if found.audited is not None and not found.is_foreign:
        click.echo(f"{found.model}: version {version} is in Production, as the audit log records. Nothing to adopt.")
        return
    before = f" Before, it was version {found.audited}." if found.audited not in (None, version) else ""
    click.echo(f"{found.model}: version {version} is adopted as the version in Production.{before}")


def _show(settings: Settings, mongo: "Mongo", mlflow: "Mlflow") -> None:
    """Bring `production_models` up to date. The version is adopted, whatever Dagster's database says."""
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.promotion.production_models import show_production

    def warn(text: str) -> None:
        click.echo(f"nhm: warning: {text}", err=True)

    try:
        with dagster_instance(settings) as instance:
            show_production(instance, mongo, mlflow, settings, warn=warn)
    except Exception as error:  # noqa: BLE001 - Dagster raises the errors of whatever library its database needs
        warn(f"production_models shows an earlier state ({type(error).__name__}): Dagster's database cannot be used")
