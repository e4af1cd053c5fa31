"""The code location as other programs use it: names, partitions, dependencies and checks."""

import re
import subprocess
import sysconfig
from pathlib import Path

from dagster import AssetKey, AssetSelection, MultiPartitionKey

from nhm_assets.definitions import defs
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.steps.partitions import specialist_weeks
from tests.support.nhm import environment
from tests.support.processes import ROOT

GRAPH = {
    "specialist_feedback": set(),
    "specialist_opinions": set(),
    "cognitive_plans": set(),
    "plan_features": set(),
    "feedback_quarantine": {"specialist_feedback", "specialist_opinions", "cognitive_plans", "plan_features"},
    "feedback_dataset": {"specialist_feedback", "specialist_opinions", "cognitive_plans", "plan_features"},
    "trained_model": {"feedback_dataset"},
    "evaluation_report": {"trained_model", "feedback_dataset"},
    "promoted_version": {"evaluation_report"},
    "production_models": {"promoted_version"},
    "specialist_rollout": {"promoted_version"},
    "served_quality": {"specialist_rollout"},
}
COLLECTIONS = {"specialist_feedback", "specialist_opinions", "cognitive_plans", "plan_features", "feedback_quarantine"}
EXTERNAL = {*COLLECTIONS, "production_models"}
ONE_TABLE = {"production_models"}
"""Of all specialists together, so not partitioned."""
CHECKS = {
    "feedback_dataset": {
        "schema_conforms": True,
        "enough_samples": False,
        "class_coverage": False,
        "no_leakage": True,
        "human_feedback": False,
        "split_shares": False,
        "features_as_served": False,
        "feedback_fresh": False,
        "few_rejected_documents": False,
    },
    "trained_model": {
        "fits_into_pods": True,
        "signature_matches_features": True,
        "loads_as_pyfunc": True,
        "sklearn_compatible": True,
        "serves_as_specialists_read_it": True,
        "answers_in_time": False,
    },
    "evaluation_report": dict.fromkeys(
        [
            "precision_threshold",
            "recall_threshold",
            "f1_threshold",
            "not_worse_than_production",
            "beats_baseline",
            "enough_evidence",
            "data_source_allowed",
            "thresholds_on_folds",
            "not_worse_on_folds",
            "not_worse_than_reference",
            "calibrated",
            "plausible",
            "serving_on_line",
            "agrees_in_shadow",
        ],
        False,
    ),
    "promoted_version": {"registry_consistent": False},
    "specialist_rollout": {"models_loaded": False},
    "served_quality": {
        "features_stable": False,
        "answers_stable": False,
        "labels_stable": False,
        "agrees_with_people": False,
        "estimate_holds": False,
        "model_answers": False,
    },
}


def test_the_assets_and_their_dependencies():
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH


def test_every_asset_is_partitioned_grouped_and_described():
    graph = defs.resolve_asset_graph()
    for name in GRAPH:
        node = graph.get(AssetKey(name))
        assert node.partitions_def == (None if name in ONE_TABLE else specialist_weeks)
        assert node.group_name == "specialist_models"
        assert node.description
        assert node.is_external == (name in EXTERNAL)


def test_every_check_is_partitioned_described_and_blocks_where_the_contract_says_so():
    graph = defs.resolve_asset_graph()
    found: dict[str, dict[str, bool]] = {}
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        found.setdefault(key.asset_key.to_user_string(), {})[key.name] = spec.blocking
        assert spec.partitions_def == specialist_weeks
        assert spec.description
    assert found == CHECKS


def test_the_job_selects_all_assets_and_checks_and_is_not_retried_for_a_failed_step():
    job = defs.resolve_job_def(JOB)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
        name for name in GRAPH if name not in EXTERNAL
    }
    assert len(job.asset_layer.asset_graph.asset_check_keys) == sum(map(len, CHECKS.values()))
    assert job.tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_a_partition_key_is_specialist_and_week():
    assert specialist_weeks.has_partition_key(MultiPartitionKey({"week": "2026-01-04", "specialist": "technical"}))
    assert "technical|2026-01-04" in specialist_weeks.get_partition_keys()


def test_dagster_accepts_the_code_location(tmp_path: Path):
    program = Path(sysconfig.get_path("scripts")) / "dagster"
    done = subprocess.run(
        [program, "definitions", "validate", "-m", "nhm_assets.definitions"],
        env=environment(nhm_home=tmp_path) | {"DAGSTER_HOME": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_selection_that_the_documents_name_finds_assets():
    section = (ROOT / "docs/journeys.md").read_text().partition("## Selections and views")[2]
    selections = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(selections) == 4
    graph = defs.resolve_asset_graph()
    found = {text: AssetSelection.from_string(text, include_sources=True).resolve(graph) for text in selections}
    assert {text for text, keys in found.items() if not keys} == set()
    assert AssetKey("specialist_feedback") in found['kind:"mongodb"']
