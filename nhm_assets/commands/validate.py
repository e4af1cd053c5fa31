"""`nhm validate`: whether the five specialists have their models loaded, as their pods say themselves."""

import json
import sys
from typing import TYPE_CHECKING

import click

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import Specialist
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from nhm_assets.rollout.serving import Expected
    from nhm_assets.rollout.validation import Validated


@click.command()
@click.option("--json", "as_text", is_flag=True, help="Print the same as JSON.")
def validate(*, as_text: bool) -> None:
    """Ask the pods of all five specialists whether they have loaded the model in Production.

    Ends with 0 where all five have, else with 1.
    """
    with startup_without_gc():
        from nhm_assets.resource_factories import kubernetes_of
        from nhm_assets.rollout.target import Target
        from nhm_assets.rollout.validation import validate as ask

    settings = Settings.load()
    with kubernetes_of(settings).cluster() as cluster:
        versions, unknown = _versions(settings)
        found = ask(cluster, [Target.of(settings, str(one)) for one in Specialist], versions)
    _print_json(found, unknown) if as_text else _print(found)
    if unknown:
        click.echo(f"nhm: the versions loaded were not compared with those in Production: {unknown}", err=True)
    sys.exit(0 if all(one.loaded for one in found) and not unknown else 1)


def _versions(settings: Settings) -> "tuple[dict[str, Expected | None], str | None]":
    """By specialist, what is in Production; and why that is not known."""
    from nhm_assets.registry.versions import version_in_production
    from nhm_assets.resource_factories import mlflow_of
    from nhm_assets.rollout.serving import Expected

    found: dict[str, Expected | None] = {}
    try:
        with mlflow_of(settings).client() as client:
            for one in Specialist:
                champion = version_in_production(client, one.registered_model)
                found[str(one)] = (
                    Expected(str(one), str(champion.version), champion.run_id or None) if champion else None
                )
    except (ServiceError, RegistryError) as error:
        return {str(one): Expected(str(one), None, None) for one in Specialist}, str(error)
    return found, None


def _headline(found: "list[Validated]") -> str:
    return f"{sum(one.loaded for one in found)}/{len(found)} specialists loaded their models"


def _print(found: "list[Validated]") -> None:
    from nhm_assets.rollout.validation import hints, summary

    click.echo(_headline(found))
    for one in found:
        click.echo(f"\n{one.target.specialist}: {one.reason}")
        click.echo(f"  Model Loaded: {summary([pod.model_loaded for pod in one.pods])}")
        click.echo(f"  MLflow Connected: {summary([pod.mlflow_connected for pod in one.pods])}")
        click.echo(f"  Status: {summary([pod.status or '?' for pod in one.pods])}")
        if one.loaded:
            continue
        for hint in hints(one):
            click.echo(f"  Likely cause: {hint.cause}")
            click.echo(f"    look further: {hint.command}")


def _print_json(found: "list[Validated]", unknown: str | None) -> None:
    from nhm_assets.rollout.validation import as_json

    entry = {
        "summary": _headline(found),
        "loaded": sum(one.loaded for one in found),
        "of": len(found),
        "not_compared": unknown,
        "specialists": [as_json(one) for one in found],
    }
    click.echo(json.dumps(entry, indent=2))
