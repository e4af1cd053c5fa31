"""Other specialists than the five on Kubernetes, by what docs/kubernetes.md says under "Other specialists"."""

import shutil
import textwrap
from pathlib import Path, PurePosixPath

import pytest
import yaml

from nhm_assets.commands import cluster_needs as needs
from nhm_assets.domain.specialists_file import specialists_in
from tests.k8s.conftest import Cluster
from tests.support.manifests import K8S, OVERLAYS, Manifest, find, rendered
from tests.support.nhm import nhm
from tests.support.processes import ROOT

FILE = "/etc/nhm/specialists.yaml"
TWO = "- name: technical\n- {name: data-quality, deployment: opinions-data-quality}\n"
DEPLOYMENTS = ["specialist-technical", "opinions-data-quality"]


def of_the_document() -> dict[str, list[Manifest]]:
    """What the document adds to an overlay."""
    section = (ROOT / "docs" / "kubernetes.md").read_text().partition("### Other specialists\n")[2].partition("###")[0]
    block = [line for line in section.splitlines() if line.startswith("    ") or not line]
    return dict(yaml.safe_load(textwrap.dedent("\n".join(block))))


def with_specialists(folder: Path, overlay: Path, text: str = TWO) -> list[Manifest]:
    """The manifests of a copy of an overlay in another namespace, with these specialists."""
    shutil.copytree(K8S, folder / "k8s")
    mine = folder / "k8s" / "overlays" / overlay.name
    file = mine / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text()) | {"namespace": "hive"}
    for key, added in of_the_document().items():
        known = {one.get("name"): one for one in kustomization[key]}
        for one in added:
            if "literals" in one and one["name"] in known:
                known[one["name"]]["literals"] += one["literals"]
            else:
                kustomization[key].append(one)
    file.write_text(yaml.safe_dump(kustomization))
    (mine / "specialists.yaml").write_text(text)
    return rendered(mine)


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
