"""The pod configuration of a run, as dagster-k8s reads it."""

import json
from typing import Any

import pytest
from dagster import in_process_executor
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, get_user_defined_k8s_config
from pydantic import ValidationError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.pod_resources import PodResources
from nhm_assets.instance.run_pods import executor_of, run_pod_config
from nhm_assets.settings import Settings


def resources(settings: Settings, specialist: str | None = "technical") -> dict[str, Any]:
    return dict(run_pod_config(settings, specialist)["container_config"]["resources"])


def test_the_memory_request_equals_the_limit():
    assert resources(Settings(run_cpu_request="250m", run_cpu_limit="3", run_memory="2Gi")) == {
        "requests": {"cpu": "250m", "memory": "2Gi", "ephemeral-storage": "256Mi"},
        "limits": {"cpu": "3", "memory": "2Gi", "ephemeral-storage": "5Gi"},
    }


def test_other_amounts_apply_to_their_specialist_only_and_the_general_settings_fill_the_rest():
    settings = Settings(run_resources={"architecture": PodResources(memory="4Gi", cpu_limit="6")})
    assert resources(settings, "architecture") == {
        "requests": {"cpu": "500m", "memory": "4Gi", "ephemeral-storage": "256Mi"},
        "limits": {"cpu": "6", "memory": "4Gi", "ephemeral-storage": "5Gi"},
    }
    assert resources(settings, "technical") == resources(Settings(), "technical")
    assert resources(settings, None) == resources(Settings(), None)


def test_nodes_are_chosen_by_selector_and_tolerations():
    settings = Settings(
        run_node_selector={"pool": "training"}, run_tolerations=[{"key": "training", "operator": "Exists"}]
    )
    pod = run_pod_config(settings, "technical")["pod_spec_config"]
    *always, own = pod["tolerations"]
    assert pod["node_selector"] == {"pool": "training"}
    assert own == {"key": "training", "operator": "Exists"}
    assert run_pod_config(Settings(), "technical")["pod_spec_config"] == {"tolerations": always}


def test_runs_have_a_priority_only_if_one_is_named():
    pod = run_pod_config(Settings(run_priority_class="nhm-runs"), "technical")["pod_spec_config"]
    assert pod["priority_class_name"] == "nhm-runs"
    assert "priority_class_name" not in run_pod_config(Settings(run_priority_class=""), "technical")["pod_spec_config"]


def test_a_run_leaves_a_node_that_is_gone_after_a_minute():
    tolerations = run_pod_config(Settings(), "technical")["pod_spec_config"]["tolerations"]
    assert {(one["key"], one["effect"], one["tolerationSeconds"]) for one in tolerations} == {
        ("node.kubernetes.io/not-ready", "NoExecute", 60),
        ("node.kubernetes.io/unreachable", "NoExecute", 60),
    }


def test_the_job_has_extra_time_to_start_and_stop_the_run():
    job = run_pod_config(Settings(max_run_seconds=100, run_ttl_s=60), "technical")["job_spec_config"]
    assert job == {"active_deadline_seconds": 1000, "ttl_seconds_after_finished": 60}


def test_dagster_accepts_it_as_a_tag_and_as_configuration():
    settings = Settings(run_node_selector={"pool": "a"}, run_tolerations=[{"key": "a"}], run_priority_class="a")
    config = run_pod_config(settings, "technical")
    read = get_user_defined_k8s_config({"dagster-k8s/config": json.dumps(config)})
    assert read == UserDefinedDagsterK8sConfig.from_dict(config)
    assert read.pod_spec_config["node_selector"] == {"pool": "a"}
    assert read.container_config["resources"]["limits"]["memory"] == settings.run_memory
    assert read.job_spec_config["active_deadline_seconds"] == 15300


def test_dagster_rejects_unknown_fields_of_a_pod():
    config = run_pod_config(Settings(), "technical")
    config["pod_spec_config"]["node_selectors"] = {}
    with pytest.raises(Exception, match="node_selectors"):
        UserDefinedDagsterK8sConfig.from_dict(config)


def test_the_configuration_of_a_single_run_takes_precedence():
    from_settings = K8sContainerContext(
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(run_pod_config(Settings(), "technical"))
    )
    own = {"container_config": {"resources": {"limits": {"memory": "8Gi"}, "requests": {"memory": "8Gi"}}}}
    merged = from_settings.merge(K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(own)))
    assert merged.run_k8s_config.container_config["resources"] == {
        "requests": {"cpu": "500m", "memory": "8Gi", "ephemeral-storage": "256Mi"},
        "limits": {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "5Gi"},
    }


@pytest.mark.parametrize("amount", ["1 Gi", "much", "-1", "1GB", ""])
def test_an_invalid_quantity_is_rejected(amount: str):
    with pytest.raises(ValidationError):
        Settings(run_memory=amount)
    with pytest.raises(ValidationError):
        PodResources(memory=amount)


def test_a_misspelt_field_of_other_amounts_is_rejected():
    with pytest.raises(ValidationError, match="memroy"):
        PodResources(memroy="1Gi")


def test_settings_are_read_as_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUN_RESOURCES", '{"business": {"cpu_request": "1"}}')
    monkeypatch.setenv("RUN_NODE_SELECTOR", '{"pool": "training"}')
    settings = Settings.load()
    assert resources(settings, "business")["requests"]["cpu"] == "1"
    assert settings.run_node_selector == {"pool": "training"}


def test_a_setting_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUN_NODE_SELECTOR", "pool=training")
    with pytest.raises(UsageError, match="RUN_NODE_SELECTOR: must be valid JSON"):
        Settings.load()


def test_steps_run_in_the_pod_of_their_run_by_default():
    assert executor_of(Settings()) is in_process_executor
    assert executor_of(Settings(run_executor="k8s_job")).name == "k8s_job"
