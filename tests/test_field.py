"""The main path on documents from the field: `nhm seed`, retraining, the registry, `nhm status`."""

import json
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import FIVE
from nhm_assets.settings import Settings
from tests.support.nhm import nhm, read_report
from tests.support.platform import QUIET, failed_step

pytestmark = [pytest.mark.servers, pytest.mark.shared]

WEEK, WEEK_BEFORE = "2026-11-15", "2026-11-08"
NOW = "2026-11-22T12:00:00+00:00"


@pytest.mark.slow
def test_the_week_of_the_field(
    field_documents: Path, tmp_path: Path, mongod_uri: str, database, monkeypatch: pytest.MonkeyPatch
):
    """This is one test because each step needs the registry as the step before left it."""
    settings = {
        "nhm_home": tmp_path / "home",
        "nhm_now": NOW,
        "mongodb_uri": mongod_uri,
        "mongodb_database": database.name,
    }
    assert nhm("seed", "--from", field_documents, **settings).returncode == 0

    def retrain(week: str, *only: str) -> dict:
        chosen = [word for name in only for word in ("--specialist", name)]
        done = nhm("retrain", "--week", week, "--report", tmp_path / "report.json", *chosen, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return read_report(tmp_path / "report.json")

    first = retrain(WEEK)
    expected = json.loads((field_documents / "EXPECTED.json").read_text())
    for specialist, expected_dataset in expected["specialists"].items():
        dataset = first[specialist]["dataset"]
        for name in ("rows", "labels", "splits", "quarantined"):
            assert dataset[name] == expected_dataset[name], name
        assert first[specialist]["window"] == expected["window"]
    outcomes = {name: entry["outcome"] for name, entry in first.items()}
    assert outcomes == dict.fromkeys(FIVE, "promoted") | {"behavior": "held"}
    assert "precision_threshold" in first["behavior"]["held_by"]
    held_as = {name: entry["held_as"] for name, entry in first.items()}
    assert held_as == dict.fromkeys(FIVE) | {"behavior": "below"}
    assert first["behavior"]["model"]["stage"] == "Staging"
    in_production = {name: entry["model"]["version"] for name, entry in first.items() if name != "behavior"}

    counted = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    again = retrain(WEEK, "technical", "behavior")
    assert len(again) == 2
    for specialist in again:
        for part in ("dataset", "metrics", "held_by"):
            assert again[specialist][part] == first[specialist][part]
        assert again[specialist]["outcome"] == "unchanged"
    for name in ("feedback_quarantine", "plan_features"):
        assert database[name].count_documents({}) == counted[name]

    older = retrain(WEEK_BEFORE, "technical")["technical"]
    assert older["outcome"] == "superseded"
    assert older["metrics"]
    shown = nhm("status", **settings).stdout
    for name, version in in_production.items():
        line = next(line for line in shown.splitlines() if line.strip().startswith(name))
        assert line.split()[1] == version

    # The instance file reads these variables; the command line sets them.
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "2")
    monkeypatch.setenv("DAGSTER_HOME", str(Settings(**settings).dagster_folder))
    refused = promote_alone("behavior", {**settings, "mongodb_uri": mongod_uri})
    assert "precision_threshold" in refused


def promote_alone(specialist: str, settings: dict) -> str:
    """Materialize only `promoted_version`, and return the message of its failure."""
    loaded = Settings(**settings)
    job = build_definitions(loaded).resolve_job_def(JOB)
    with DagsterInstance.from_config(str(loaded.dagster_folder)) as instance:
        result = job.execute_in_process(
            partition_key=Partition.parse(WEEK, specialist).key,
            instance=instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=[AssetKey("promoted_version")],
        )
    assert not result.success
    return failed_step(result)[1]
