"""Real runs of every outcome: what the sensor records and sends of them."""

from dataclasses import dataclass
from typing import Any

import pytest

from nhm_assets.resource_factories import notifiers_of
from nhm_assets.settings import Settings
from tests.support.documents import WEEK, put, revealed_opinions, reviewed_opinions
from tests.support.ended_runs import recorded_breaks, recorded_triggers
from tests.support.notified import mail_server, receiver
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.ticks import outcome_tick

WEEK_BEFORE = "2026-02-22"


@dataclass(frozen=True)
class Story:
    """Real runs by outcome, and what the receivers got."""

    platform: Platform
    runs: dict[str, str]
    posted: dict[str, dict[str, Any]]
    mailed: list[str]


@pytest.fixture(scope="module")
def story(module_platform: Platform) -> Story:
    platform = module_platform.with_settings(service_retries=0, dagster_url="https://dagster.hive.example/")
    for count, specialist, disagreement in ((900, "technical", 0.03), (400, "business", 1.0), (400, "evolution", 0.03)):
        opinions, reviews = reviewed_opinions(count, specialist=specialist, days=40, disagreement=disagreement)
        put(platform.database, opinions=opinions, feedback=reviews)
    opinions, reviews = revealed_opinions(300, specialist="behavior")
    put(platform.database, opinions=opinions, feedback=reviews)
    nowhere = f"127.0.0.1:{free_port()}"
    away = platform.with_settings(mongodb_uri=f"mongodb://{nowhere}", mongodb_timeout_s=0.3)
    results = {
        "part": platform.retrain(only=["feedback_dataset"]),
        "promoted": platform.retrain(),
        "unchanged": platform.retrain(),
        "superseded": platform.retrain(week=WEEK_BEFORE),
        "held": platform.retrain("business"),
        "insufficient": platform.retrain("architecture"),
        "data": platform.retrain("behavior"),
        "MongoDB": away.retrain("architecture"),
        "MLflow": platform.with_settings(mlflow_tracking_uri=f"http://{nowhere}", mlflow_timeout_s=1).retrain(
            "evolution"
        ),
    }
    with receiver() as there, mail_server() as server:
        settings = Settings(
            notify_urls=f"{there.url} mailto://127.0.0.1:{server.port}?from=nhm@hive.example&to=ada@hive.example"
        )
        outcome_tick(platform, notifiers_of(settings))
    posted = {body["retraining"]["run"].split("/")[-1]: body for body in there.received}
    mailed = [str(one.mail["Subject"]) for one in server.accepted]
    return Story(platform, {name: result.run_id for name, result in results.items()}, posted, mailed)


STATUS = {
    "promoted": ("promoted", None),
    "unchanged": ("unchanged", None),
    "superseded": ("superseded", None),
    "held": ("held", None),
    "insufficient": ("insufficient_data", None),
    "data": ("broken", "data"),
    "MongoDB": ("broken", "MongoDB"),
    "MLflow": ("broken", "MLflow"),
}


@pytest.mark.servers
@pytest.mark.slow
def test_the_outcomes_of_real_runs_are_recorded(story: Story):
    found = recorded_triggers(story.platform)
    names = {run_id: name for name, run_id in story.runs.items()}
    assert {names[run_id]: (one["outcome"], one["broken_by"]) for run_id, one in found.items()} == STATUS
    entries = {names[one["dagster_run_id"]]: one["broken_by"] for one in recorded_breaks(story.platform)}
    assert entries == {name: name for name in ("data", "MongoDB", "MLflow")}


@pytest.mark.servers
def test_real_runs_are_sent_with_metrics_against_thresholds_and_a_link(story: Story):
    assert set(story.posted) == {run_id for name, run_id in story.runs.items() if name != "part"}
    sent = story.posted[story.runs["promoted"]]["retraining"]
    assert (sent["specialist"], sent["week"], sent["outcome"]) == ("technical", WEEK, "promoted")
    assert (sent["model"], sent["version"], sent["job"]) == ("technical-evaluator", "1", "specialist_retraining")
    assert sent["run"] == f"https://dagster.hive.example/runs/{story.runs['promoted']}"
    report = f"https://dagster.hive.example/assets/evaluation_report?view=partitions&partition=technical%7C{WEEK}"
    assert (sent["report"], sent["runbook"]) == (report, "docs/runbook.md#promoted")
    assert set(sent["gate"]) == {
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
    }
    assert sent["gate"]["f1_threshold"]["passed"] is True
    assert "0.72" in sent["gate"]["f1_threshold"]["says"]


@pytest.mark.servers
def test_a_held_run_is_sent_with_the_checks_that_held_it(story: Story):
    body = story.posted[story.runs["held"]]
    sent = body["retraining"]
    assert "precision_threshold" in sent["held_by"]
    assert sent["gate"]["precision_threshold"]["passed"] is False
    assert sent["broken_by"] is None
    assert body["title"].startswith(f"business, week {WEEK}: held by ")
    assert body["title"].endswith(" (below the line, version 1)")
    assert (sent["held_as"], sent["below_in_a_row"], body["type"]) == ("below", 1, "warning")
    assert recorded_triggers(story.platform)[story.runs["held"]]["held_as"] == "below"
    assert "FAILED precision_threshold: " in body["message"]


@pytest.mark.servers
def test_broken_runs_are_sent_with_the_sentence_that_names_the_cause(story: Story):
    data, mongodb, mlflow = (story.posted[story.runs[name]]["retraining"] for name in ("data", "MongoDB", "MLflow"))
    assert "no_leakage: " in data["reason"]
    assert data["gate"] == {}
    assert mongodb["reason"].startswith("feedback_dataset: MongoDB at mongodb://127.0.0.1")
    assert mlflow["reason"].startswith("trained_model: ")
    assert "MLflow" in mlflow["reason"]
    assert {one["outcome"] for one in (data, mongodb, mlflow)} == {"broken"}
    assert f"behavior, week {WEEK}: broken by data" in story.mailed
    assert len(story.mailed) == 8


@pytest.mark.servers
def test_too_little_feedback_is_sent_quietly_and_says_how_many_rows_are_missing(story: Story):
    """Five red runs every Sunday, before."""
    body = story.posted[story.runs["insufficient"]]
    assert body["type"] == "info"
    assert body["title"] == f"architecture, week {WEEK}: insufficient_data"
    assert "0 rows, 300 fewer than the required 300" in body["message"]
    assert body["retraining"]["broken_by"] is None
    assert body["retraining"]["gate"] == {}
