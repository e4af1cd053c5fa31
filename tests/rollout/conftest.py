"""Fixtures: a real control plane, a namespace of the test's own, and a promoted version to roll out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kube import Namespace, deployment, namespace, shared_control_plane
from tests.support.platform import Platform
from tests.support.rollouts import Registry, cluster_settings
from tests.support.specialists import Answers, answering, status

TECHNICAL = "specialist-technical"


@pytest.fixture(scope="package")
def kubeconfig(request: pytest.FixtureRequest, shared_folder: Path, given_cluster: Path | None) -> Iterator[Path]:
    """Access to a cluster whose stand-in node does what the pods' annotations say."""
    if given_cluster:
        yield given_cluster
        return
    scripts = request.getfixturevalue("control_plane_scripts")
    with shared_control_plane(scripts, shared_folder / "kubernetes") as found:
        yield found


@pytest.fixture
def specialists(kubeconfig: Path) -> Iterator[Namespace]:
    """An empty namespace for specialists."""
    with namespace(kubeconfig) as found:
        yield found


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Pods that have a model loaded and do not report its version."""
    with answering(status()) as found:
        yield found


@pytest.fixture
def hive(platform: Platform, specialists: Namespace, answers: Answers) -> Platform:
    """A platform with a cluster in which `technical` runs two pods."""
    specialists.add(deployment(TECHNICAL, replicas=2))
    return platform.with_settings(**cluster_settings(specialists, specialist_status_url=answers.status_url))


@pytest.fixture
def registry(platform: Platform) -> Registry:
    return Registry(platform)
