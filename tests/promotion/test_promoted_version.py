"""What `promoted_version` does with a candidate, in whole runs of the job."""

import hashlib

import pytest
from dagster import AssetKey, AssetPartitionStatus

from nhm_assets.domain.outcomes import GATE_CHECKS, TRANSIENT_TAG
from nhm_assets.domain.partitions import Partition
from nhm_assets.promotion.protocol import promote
from nhm_assets.registry.history import newest_outcome
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.recovery import plan_moves
from nhm_assets.registry.versions import version_by_alias
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.training import pod_limits
from tests.support.documents import NOW, WEEK, put, reviewed_opinions
from tests.support.platform import Platform, failed_checks, failed_step, verdicts
from tests.support.promotions import let_leases_run_out
from tests.support.reruns import launch, retry_of

pytestmark = pytest.mark.servers

MODEL = "technical-evaluator"
WEEK_BEFORE = "2026-02-22"


@pytest.fixture
def learnable(platform: Platform) -> Platform:
    """Five weeks of feedback that a forest can learn from."""
    opinions, reviews = reviewed_opinions(900, days=40)
    put(platform.database, opinions=opinions, feedback=reviews)
    return platform


@pytest.fixture
def hopeless(platform: Platform) -> Platform:
    """Random feedback that no model can learn from."""
    opinions, reviews = reviewed_opinions(400, disagreement=1.0)
    put(platform.database, opinions=opinions, feedback=reviews)
    return platform


def graph_status(platform: Platform) -> AssetPartitionStatus | None:
    """How Dagster's graph shows the partition of `promoted_version`; None if it is merely missing."""
    key = AssetKey("promoted_version")
    partition = Partition.parse(WEEK, "technical").key
    statuses = platform.instance.get_status_by_partition(key, [partition], specialist_weeks)
    return (statuses or {}).get(partition)


def stages(platform: Platform) -> dict[str, str]:
    with platform.mlflow.client() as client:
        return {
            str(version.version): version.current_stage for version in client.search_model_versions(f"name='{MODEL}'")
        }


def aliases(platform: Platform) -> dict[str, str | None]:
    with platform.mlflow.client() as client:
        return {alias: version_by_alias(client, MODEL, alias) for alias in ("production", "previous", "candidate")}


def test_a_candidate_that_passes_every_gate_check_is_promoted(learnable: Platform):
    result = learnable.retrain()
    assert result.success
    assert failed_checks(result) == []
    assert learnable.tags(result)["nhm/outcome"] == "promoted"
    assert stages(learnable) == {"1": "Production"}
    assert aliases(learnable) == {"production": "1", "previous": None, "candidate": None}
    entry = learnable.database["model_audit_log"].find_one({"kind": "promoted"})
    assert (entry["version"], entry["dagster_run_id"], entry["state"]) == ("1", result.run_id, "done")
    assert entry["metrics"]["f1"] == result.asset_value("evaluation_report").candidate.f1


def test_an_older_week_is_trained_and_evaluated_and_then_superseded(learnable: Platform):
    learnable.retrain()
    result = learnable.retrain(week=WEEK_BEFORE)
    assert result.success
    assert learnable.tags(result)["nhm/outcome"] == "superseded"
    assert result.asset_value("evaluation_report").version == "2"
    assert stages(learnable) == {"1": "Production", "2": "Staging"}
    assert aliases(learnable)["production"] == "1"
    assert learnable.database["model_audit_log"].count_documents({"kind": "superseded", "version": "2"}) == 1


def test_a_newer_week_replaces_the_champion(learnable: Platform):
    learnable.retrain(week=WEEK_BEFORE)
    result = learnable.retrain()
    assert learnable.tags(result)["nhm/outcome"] == "promoted"
    assert result.asset_value("promoted_version").previous_version == "1"
    assert stages(learnable) == {"1": "Archived", "2": "Production"}
    assert aliases(learnable) == {"production": "2", "previous": "1", "candidate": None}


def test_a_version_that_an_older_audit_log_does_not_have_is_recorded_as_it_was_found(learnable: Platform):
    log = learnable.database["model_audit_log"]
    learnable.retrain(week=WEEK_BEFORE)
    older = list(log.find())
    learnable.retrain()
    log.delete_many({})
    log.insert_many(older)
    result = learnable.retrain()
    assert learnable.tags(result)["nhm/outcome"] == "unchanged"
    entry = log.find_one({"dagster_run_id": result.run_id, "kind": {"$ne": "registered"}})
    assert (entry["kind"], entry["version"]) == ("unchanged", "2")
    assert entry["reason"] == (
        "version 2 is already in Production, but the audit log last recorded version 1. To record it, run"
        " `nhm adopt technical --reason TEXT`"
    )
    assert stages(learnable) == {"1": "Archived", "2": "Production"}


def test_a_held_candidate_leaves_the_run_green_and_stays_in_staging(hopeless: Platform):
    result = hopeless.retrain()
    assert result.success
    tags = hopeless.tags(result)
    assert tags["nhm/outcome"] == "held"
    assert "precision_threshold" in tags["nhm/held_by"].split(",")
    assert not verdicts(result)["precision_threshold"]
    assert "registry_consistent" not in verdicts(result)
    assert stages(hopeless) == {"1": "Staging"}
    assert aliases(hopeless) == {"production": None, "previous": None, "candidate": "1"}
    entry = hopeless.database["model_audit_log"].find_one({"kind": "held"})
    assert "precision_threshold" in entry["reason"]
    # Its labels are drawn at random: hardly any chance that it is above the line.
    assert (tags["nhm/held_as"], tags["nhm/below_in_a_row"], entry["held_as"]) == ("below", "1", "below")
    assert " (below the line): " in tags["nhm/reason"]
    assert "is below 0.001" in tags["nhm/reason"]
    report = result.asset_value("evaluation_report")
    assert (report.flip_rate, report.settling, entry["flip_rate"]) == (0, None, 0)


def test_promoting_a_held_candidate_by_itself_is_refused_with_the_reason(hopeless: Platform):
    decided = hopeless.retrain()
    result = hopeless.retrain(only=["promoted_version"])
    assert not result.success
    assert graph_status(hopeless) is None, "red for ever: nothing will materialize it"
    newest = hopeless.instance.all_logs(decided.run_id)[-1]
    assert "was refused: what this run decided is still valid" in newest.message
    step, message = failed_step(result)
    assert step == "promoted_version"
    assert "precision_threshold" in message
    assert hopeless.tags(result)["nhm/outcome"] == "refused"
    assert stages(hopeless) == {"1": "Staging"}
    (entry,) = hopeless.database["model_audit_log"].find({"kind": "refused"})
    assert (entry["version"], entry["origin"], entry["dagster_run_id"]) == ("1", "UI", result.run_id)
    assert entry["metrics"]["precision"] < entry["thresholds"]["precision"]
    assert "precision_threshold" in entry["reason"]
    shown = newest_outcome(hopeless.database["model_audit_log"], MODEL) or {}
    assert shown["kind"] == "held", "a request that was refused is not how the specialist's last run ended"


def test_a_candidate_that_passed_is_promoted_by_itself_but_not_after_a_check_that_stops_runs_has_failed(
    learnable: Platform, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(pod_limits, "LARGEST_MB", 0.001)
        stopped = learnable.retrain()
    assert failed_checks(stopped) == ["fits_into_pods"]
    past_the_check = learnable.retrain(only=["evaluation_report", "promoted_version"])
    assert all(verdicts(past_the_check)[name] for name in GATE_CHECKS)
    assert (
        f" {MODEL} version 1 (technical, week {WEEK}) is not promoted: fits_into_pods on trained_model failed for it. "
    ) in failed_step(past_the_check)[1]
    assert learnable.tags(past_the_check)["nhm/outcome"] == "refused"
    assert learnable.retrain(only=["trained_model"]).success
    assert stages(learnable) == {"1": "Staging"}
    result = learnable.retrain(only=["promoted_version"])
    assert result.success, "the newest verdicts count"
    assert stages(learnable) == {"1": "Production"}


def test_a_candidate_is_evaluated_again_if_another_version_is_in_production_by_now(learnable: Platform):
    """A rollback between evaluation and promotion: the report says nothing about the version that is back."""
    learnable.retrain(week=WEEK_BEFORE)
    learnable.retrain(only=["feedback_dataset", "trained_model", "evaluation_report"])
    with learnable.mlflow.client() as client:
        client.copy_model_version(f"models:/{MODEL}/1", MODEL)
        client.transition_model_version_stage(MODEL, "3", "Production", archive_existing_versions=True)
    before = stages(learnable)
    refused = learnable.retrain(only=["promoted_version"])
    assert "version 3 is in Production, but the gate compared the candidate with version 1" in failed_step(refused)[1]
    assert learnable.tags(refused)["nhm/outcome"] == "refused"
    assert stages(learnable) == before
    again = learnable.retrain()
    assert again.asset_value("evaluation_report").compared_with == "3"
    assert learnable.tags(again)["nhm/outcome"] == "promoted"


def test_a_run_whose_champion_changes_meanwhile_breaks_and_its_retry_evaluates_again(
    learnable: Platform, monkeypatch: pytest.MonkeyPatch
):
    """The step is not repeated: only a new evaluation helps. So the run is one that may be started over."""
    learnable.retrain(week=WEEK_BEFORE)
    calls = []

    def promote_too_late(client, *args, **kwargs):
        calls.append(client)
        if len(calls) == 1:
            client.copy_model_version(f"models:/{MODEL}/1", MODEL)
            client.transition_model_version_stage(MODEL, "3", "Production", archive_existing_versions=True)
        return promote(client, *args, **kwargs)

    monkeypatch.setattr("nhm_assets.promotion.assets.promote", promote_too_late)
    broken = learnable.with_settings(service_retries=2, service_retry_delay_s=0.01).retrain()
    assert not broken.success
    assert "version 3 is in Production, but the gate compared the candidate with version 1" in failed_step(broken)[1]
    assert (learnable.tags(broken)["nhm/outcome"], len(calls)) == ("broken", 1)
    assert learnable.tags(broken)[TRANSIENT_TAG] == "true"
    again = launch(learnable, tags=retry_of(broken))
    assert again.asset_value("evaluation_report").compared_with == "3"
    assert learnable.tags(again)["nhm/outcome"] == "promoted"


def test_a_report_without_verdicts_is_refused(learnable: Platform):
    """A report that somebody wrote into the storage, with better metrics, has no recorded verdicts."""
    first = learnable.retrain(only=["feedback_dataset", "trained_model", "evaluation_report"])
    report = first.asset_value("evaluation_report")
    forged = report.model_copy(update={"candidate": report.candidate.model_copy(update={"f1": 1.0})})
    folder = learnable.settings.nhm_home / "storage" / "evaluation_report" / "technical"
    pointer, content = folder / f"{WEEK}.current", forged.model_dump_json().encode()
    file = folder / WEEK / f"{hashlib.blake2b(content, digest_size=16).hexdigest()}.json"
    assert (folder / pointer.read_text()).parent == file.parent
    file.write_bytes(content)
    pointer.write_text(f"{WEEK}/{file.name}")
    result = learnable.retrain(only=["promoted_version"])
    assert not result.success
    assert "this report has no verdict for" in failed_step(result)[1]
    assert stages(learnable) == {"1": "Staging"}


def test_a_new_evaluation_uses_the_current_thresholds(learnable: Platform):
    strict = learnable.with_settings(precision_threshold=1.0)
    assert strict.tags(strict.retrain())["nhm/outcome"] == "held"
    result = learnable.retrain(only=["evaluation_report", "promoted_version"])
    assert learnable.tags(result)["nhm/outcome"] == "promoted"


@pytest.mark.parametrize(
    "only",
    [
        ["feedback_dataset"],
        pytest.param(["trained_model"], marks=pytest.mark.slow),
        pytest.param(["evaluation_report"], marks=pytest.mark.exhaustive),
    ],
)
def test_any_run_finishes_a_promotion_that_a_dead_process_left_half_done(learnable: Platform, only: list[str]):
    """Not only a run that promotes: the next weeks may all be held, or have too little feedback."""
    learnable.retrain(week=WEEK_BEFORE)
    learnable.retrain(only=["feedback_dataset", "trained_model", "evaluation_report"])
    log = learnable.database["model_audit_log"]
    with (
        learnable.mlflow.client() as client,
        hold_lock(log, MODEL, {"kind": "promotion", "at": NOW}, recover=pytest.fail, wait_s=1) as dead,
    ):
        dead.update(version="2", **plan_moves("2", champion="1", previous="1"))
        client.set_registered_model_alias(MODEL, "production", "2")
    let_leases_run_out(log)
    assert learnable.retrain(only=only).success
    assert (log.find_one({"_id": dead.id})["state"], log.count_documents({"state": "open"})) == ("done", 0)
    assert stages(learnable) == {"1": "Archived", "2": "Production"}
    assert aliases(learnable) == {"production": "2", "previous": "1", "candidate": None}


def test_a_run_that_can_only_be_held_waits_until_the_owner_of_a_lock_is_surely_dead(hopeless: Platform):
    """Its lease still runs when the next run begins, a few seconds after the kill."""
    log = hopeless.database["model_audit_log"]
    with hold_lock(log, MODEL, {"kind": "promotion", "at": NOW}, recover=pytest.fail, wait_s=1, lease_s=3.0) as dead:
        pass
    assert hopeless.tags(hopeless.retrain())["nhm/outcome"] == "held"
    assert log.find_one({"_id": dead.id})["state"] == "abandoned"
