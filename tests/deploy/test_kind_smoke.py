"""The steps of `make kind-smoke`, and what it applies where no container runs. tests/k8s runs them."""

from pathlib import Path

import yaml

from deploy.dry_node import adapted
from deploy.kind_smoke import Smoke
from tests.support.manifests import KIND, find, rendered

LIFE = ["apply", "check", "run", "restart", "drain", "delete"]


def test_on_kind_a_cluster_is_created_and_destroyed():
    assert list(Smoke().steps()) == ["create", "prepare", *LIFE, "destroy"]


def test_a_given_control_plane_is_neither():
    assert list(Smoke(Path("a.yaml"), "mongodb://here").steps()) == ["prepare", *LIFE]
    assert list(Smoke(Path("a.yaml"), mongodb_uri=None).steps()) == LIFE


def test_where_no_container_runs_the_settings_name_the_servers_of_this_machine(tmp_path: Path):
    found = adapted(rendered(KIND), {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, tmp_path)
    settings = find(found, "ConfigMap", "nhm-settings")["data"]
    assert settings["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"
    assert settings["ENVIRONMENT"] == "development"
    dagster = yaml.safe_load(find(found, "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"])
    assert dagster["storage"] == {"sqlite": {"base_dir": str(tmp_path)}}
    assert {one["apiVersion"] for one in found if one["kind"] == "CronJob"} == {"batch/v1beta1"}
