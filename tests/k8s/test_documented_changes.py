"""Changes of an overlay that docs/kubernetes.md describes: other specialists, a registry with a login, many runs."""

import re
import shutil
import textwrap
from pathlib import Path, PurePosixPath

import pytest
import yaml

from nhm_assets.commands import cluster_needs as needs
from nhm_assets.domain.specialists_file import specialists_in
from tests.k8s.conftest import Cluster
from tests.k8s.test_pod_security import faults
from tests.support.manifests import (
    K8S,
    OVERLAYS,
    PRODUCTION,
    Manifest,
    find,
    pod_templates,
    rendered,
    schema_versions,
    validate,
)
from tests.support.nhm import nhm
from tests.support.processes import ROOT

FILE = "/etc/nhm/specialists.yaml"
TWO = "- name: technical\n- {name: data-quality, deployment: opinions-data-quality}\n"
DEPLOYMENTS = ["specialist-technical", "opinions-data-quality"]


def of_the_document(heading: str) -> dict[str, list[Manifest]]:
    """What the last block under a heading adds to an overlay."""
    section = (ROOT / "docs" / "kubernetes.md").read_text().partition(f"### {heading}\n")[2].partition("\n###")[0]
    (*_, block) = re.findall(r"(?:^(?: {4}.*)?\n)+", section, re.MULTILINE)
    return dict(yaml.safe_load(textwrap.dedent(block)))


def changed(folder: Path, overlay: Path, heading: str, **files: str) -> list[Manifest]:
    """The manifests of a copy of an overlay in another namespace, with this change and these YAML files."""
    shutil.copytree(K8S, folder / "k8s")
    mine = folder / "k8s" / "overlays" / overlay.name
    file = mine / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text()) | {"namespace": "hive"}
    for key, added in of_the_document(heading).items():
        known = {one.get("name"): one for one in kustomization[key]}
        for one in added:
            if "literals" in one and one["name"] in known:
                known[one["name"]]["literals"] += one["literals"]
            else:
                kustomization[key].append(one)
    file.write_text(yaml.safe_dump(kustomization))
    for name, text in files.items():
        (mine / f"{name}.yaml").write_text(text)
    return rendered(mine)


def with_specialists(folder: Path, overlay: Path, text: str = TWO) -> list[Manifest]:
    return changed(folder, overlay, "Other specialists", specialists=text)


@pytest.mark.servers
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_pod_can_log_in_to_the_registry(overlay: Path, tmp_path: Path):
    """A pod whose workload names no Secret gets that of its account; the account `default` is not the platform's."""
    manifests = changed(tmp_path, overlay, "A registry with a login")
    login = [{"name": "registry-login"}]
    accounts = {
        one["metadata"]["name"]: one["imagePullSecrets"] for one in manifests if one["kind"] == "ServiceAccount"
    }
    assert accounts == dict.fromkeys(("nhm-dagster", "nhm-run", "nhm-webserver"), login)
    named = {name: template["spec"].get("imagePullSecrets") for name, template in pod_templates(manifests)}
    assert [name for name, secrets in named.items() if secrets != login] == []
    assert {secret.name for secret in needs.pull_secrets(manifests)} == {"registry-login"}
    validate(manifests, schema_versions()[-1])


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_file_reaches_the_pods_and_the_role_has_its_deployments(overlay: Path, tmp_path: Path):
    manifests = with_specialists(tmp_path, overlay)
    assert needs.settings(manifests)["SPECIALISTS_FILE"] == FILE
    assert needs.mounted_file(manifests, PurePosixPath(FILE)) == TWO
    assert find(manifests, "ConfigMap", "nhm-specialists", "hive")["data"] == {"specialists.yaml": TWO}
    places = [("semantic-translation", name) for name in DEPLOYMENTS]
    assert needs.without_rights(manifests, places) == []
    others = [("semantic-translation", "specialist-business"), ("hive-two", "specialist-technical")]
    assert needs.without_rights(manifests, others) == others


def test_the_database_takes_more_connections_and_gets_memory_for_them(tmp_path: Path):
    manifests = changed(tmp_path, PRODUCTION, "Many runs at a time")
    database = find(manifests, "StatefulSet", "nhm-postgresql", "hive")["spec"]["template"]
    (container,) = database["spec"]["containers"]
    assert container["args"] == ["-c", "max_connections=200"]
    assert faults(database) == []
    validate(manifests, schema_versions()[-1])


def test_a_file_that_no_configmap_brings_is_not_found(production: list[Manifest]):
    assert needs.mounted_file(production, PurePosixPath(FILE)) is None
    config = {"kind": "ConfigMap", "metadata": {"name": "nhm-specialists"}, "data": {"other.yaml": ""}}
    assert needs.mounted_file([*production, config], PurePosixPath(FILE)) is None
    assert needs.mounted_file([*production, config], PurePosixPath("/etc/other.yaml")) is None


@pytest.mark.kubernetes
def test_the_check_asks_for_the_deployments_of_the_file(cluster: Cluster, tmp_path: Path):
    """Fifty specialists, some with odd names. Without the file, it would ask for those of the five."""
    names = ["technical", *(f"x-{number}-" for number in range(48)), "a" * 39]
    text = yaml.safe_dump([{"name": name, "namespace": "elsewhere"} for name in names])
    assert len(specialists_in(text, Path(FILE))) == 50
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(with_specialists(tmp_path, OVERLAYS[0], text)))
    answer = nhm("cluster", "check", "--manifests", path, kubeconfig=cluster.kubeconfig).stdout
    assert answer.count("there is no Deployment specialist-") == 50
    assert "no Role lets runs restart specialist-x-47- in elsewhere" in answer
    assert "specialist-business" not in answer
