"""`nhm cluster check`: whether a Kubernetes cluster has what the platform needs, before and after an installation."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import click

from nhm_assets.commands.cluster_lines import Line, State, unknown
from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.settings import Settings


@click.group()
def cluster() -> None:
    """Check the Kubernetes cluster that the platform runs in."""


@cluster.command()
@click.option(
    "--manifests",
    type=click.File(),
    help="What is applied or will be: the output of `kubectl kustomize`, `-` for standard input.",
)
def check(*, manifests: TextIO | None) -> None:
    """Say what the cluster lacks, and what to do about it. Nothing is changed.

    With --manifests, before or after an apply, with your own access (KUBECONFIG): version, kinds, namespaces, objects
    of others with the same names, rights, Secrets, storage classes, images, servers, specialists.

    Without it, in a pod of the platform: rights of a run, MongoDB, MLflow, storage, Dagster's database, and whether the
    specialists' pods can be asked for their status.

    Exit code: 0 if there is no FAULT, otherwise 1.
    """
    settings = Settings.load()
    lines = _of_manifests(settings, manifests) if manifests else _of_this_process(settings)
    found: set[State] = set()
    for line in lines:
        found.add(line.state)
        click.echo(f"{line.state:8} {line.subject}: {line.found}")
        if line.remedy:
            click.echo(f"{'':8} -> {line.remedy}")
    sys.exit(1 if State.FAULT in found else 0)


def _of_manifests(settings: Settings, file: TextIO) -> Iterator[Line]:
    from nhm_assets.commands import cluster_needs as needs
    from nhm_assets.commands.cluster_before import Before
    from nhm_assets.commands.cluster_settings import line_of_settings
    from nhm_assets.domain.specialists_file import specialists_in
    from nhm_assets.resource_factories import kubernetes_of
    from resources.kubernetes_objects import Objects

    manifests = _read(file)
    configured = needs.settings(manifests)
    names = {"specialist_namespace": "SPECIALIST_NAMESPACE", "specialist_deployment": "SPECIALIST_DEPLOYMENT"}
    of_overlay = {field: configured[name] for field, name in names.items() if name in configured}
    specialists: tuple[Specialist, ...] = FIVE
    path, text = configured.get("SPECIALISTS_FILE"), None
    if path:
        text, specialists = needs.mounted_file(manifests, PurePosixPath(path)), ()
    yield line_of_settings(configured, text)
    if text is not None:
        # The line above names the fault.
        with suppress(UsageError):
            specialists = specialists_in(text, Path(str(path)))
    elif path:
        yield unknown(
            "specialists",
            f"the manifests do not hold the file {path} of SPECIALISTS_FILE",
            "Let the overlay bring it in the ConfigMap nhm-specialists. Or run `nhm cluster check` in a pod later",
        )
    deployments = [settings.model_copy(update=of_overlay).deployment_of(one) for one in specialists]
    with kubernetes_of(settings).cluster() as cluster:
        yield from Before(Objects(cluster), manifests, deployments).lines()


def _read(file: TextIO) -> list[dict[str, Any]]:
    import yaml

    with suppress(yaml.YAMLError):
        found = [one for one in yaml.safe_load_all(file) if one]
        if found and all(isinstance(one, dict) and {"apiVersion", "kind", "metadata"} <= one.keys() for one in found):
            return found
    raise UsageError(f"{file.name} holds no Kubernetes objects. Give the output of `kubectl kustomize`")


def _of_this_process(settings: Settings) -> Iterator[Line]:
    from nhm_assets.commands.cluster_after import lines_of_cluster, lines_of_services
    from nhm_assets.resource_factories import kubernetes_of

    yield from lines_of_services(settings)
    with kubernetes_of(settings).cluster() as cluster:
        yield from lines_of_cluster(settings, cluster)
