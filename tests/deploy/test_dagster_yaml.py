"""Every dagster.yaml is written from the parts in `deploy/dagster`, and nobody has edited one by hand."""

import pytest
import yaml

from deploy.dagster_yaml import PARTS, ROOT, VARIANTS


@pytest.mark.parametrize("path", VARIANTS)
def test_the_file_is_what_its_parts_give(path: str):
    assert (ROOT / path).read_text() == VARIANTS[path].text(), "run `make dagster-yaml`"


def test_every_dagster_yaml_of_the_project_is_generated():
    committed = {path for folder in ("deploy", "k8s") for path in (ROOT / folder).rglob("dagster.yaml")}
    assert committed == {ROOT / path for path in VARIANTS}
    assert (ROOT / "nhm_assets/templates/dagster.yaml").resolve() == ROOT / "deploy/local/dagster.yaml"


def test_every_part_is_used():
    used = {part for variant in VARIANTS.values() for part in variant.parts}
    assert used == {path.stem for path in (ROOT / PARTS).iterdir()}


@pytest.mark.parametrize("path", VARIANTS)
def test_no_key_is_in_two_parts_of_a_variant(path: str):
    """YAML would take the last one without a word."""
    keys = [key for part in VARIANTS[path].parts for key in yaml.safe_load((ROOT / PARTS / f"{part}.yaml").read_text())]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("path", VARIANTS)
def test_the_limits_are_the_same_everywhere(path: str):
    """A file that lacks the common part would let two runs of one specialist work at the same time."""
    common = yaml.safe_load((ROOT / PARTS / "common.yaml").read_text())
    assert common["run_coordinator"]["class"] == "SpecialistRunCoordinator"
    assert yaml.safe_load((ROOT / path).read_text()).items() >= common.items()
