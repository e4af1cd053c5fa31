"""`nhm validate`: asks the pods of the specialists whether they have their models loaded."""

import json
import sys
from typing import TYPE_CHECKING

import click

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from nhm_assets.rollout.serving import Expected
    from nhm_assets.rollout.validation import Validation


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def validate(*, as_json: bool) -> None:
    """Ask the pods of all specialists whether they have loaded the model in Production.

    Where SPECIALIST_NAMESPACE and MLFLOW_TRACKING_URI are not set, NAMESPACE and MLFLOW_URI are read.

    Exit code: 0 if all of them have, otherwise 1.
    """
    with startup_without_gc():
        from nhm_assets.resource_factories import kubernetes_of
        from nhm_assets.rollout.target import Target
        from nhm_assets.rollout.validation import validate as ask

    # The names of the operators' own script.
    settings = Settings.load(specialist_namespace="NAMESPACE", mlflow_tracking_uri="MLFLOW_URI")
    with kubernetes_of(settings).cluster() as cluster:
        versions, registry_fault = _versions(settings)
        validations = ask([Target.of(settings, str(specialist), cluster) for specialist in all_specialists()], versions)
    (_print_json if as_json else _print)(validations, registry_fault)
    if registry_fault:
        click.echo(f"nhm: loaded versions were not compared with those in Production: {registry_fault}", err=True)
    sys.exit(0 if all(validation.loaded for validation in validations) and not registry_fault else 1)


def _versions(settings: Settings) -> "tuple[dict[str, Expected | None], str | None]":
    """What is in Production, by specialist; and why that is unknown, if it is."""
    from nhm_assets.registry.versions import version_in_production
    from nhm_assets.resource_factories import mlflow_of
    from nhm_assets.rollout.serving import Expected

    versions: dict[str, Expected | None] = {}
    try:
        with mlflow_of(settings).reading() as client:
            for name in all_specialists():
                champion = version_in_production(client, name.registered_model)
                versions[name] = Expected(name, str(champion.version), champion.run_id or None) if champion else None
    except (ServiceError, RegistryError) as error:
        return {name: Expected(name, None, None) for name in all_specialists()}, str(error)
    return versions, None


def _headline(validations: "list[Validation]") -> str:
    return f"{sum(one.loaded for one in validations)}/{len(validations)} specialists loaded their models"


def _print(validations: "list[Validation]", _: str | None) -> None:
    from nhm_assets.rollout.validation import summary

    click.echo(_headline(validations))
    for validation in validations:
        pods = validation.pods
        click.echo(f"\n{validation.target.specialist}: {validation.reason}")
        click.echo(f"  Model Loaded: {summary([pod.model_loaded for pod in pods])}")
        click.echo(f"  MLflow Connected: {summary([pod.mlflow_connected for pod in pods])}")
        click.echo(f"  Status: {summary([pod.status for pod in pods])}")
        for cause, command in validation.likely_causes().items():
            click.echo(f"  Likely cause: {cause}")
            click.echo(f"    To see more: {command}")


def _print_json(validations: "list[Validation]", registry_fault: str | None) -> None:
    document = {
        "summary": _headline(validations),
        "loaded": sum(validation.loaded for validation in validations),
        "of": len(validations),
        "not_compared": registry_fault,
        "specialists": [validation.as_json() for validation in validations],
    }
    click.echo(json.dumps(document, indent=2))
