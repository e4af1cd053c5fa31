"""What is written down and told of ended retrainings, once each, whatever is away meanwhile."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from nhm_assets.domain.outcomes import BROKEN_BY_TAG, OUTCOME_TAG, REASON_TAG
from nhm_assets.resource_factories import notifiers_of
from nhm_assets.settings import Settings
from resources.errors import MongoUnavailable
from resources.notifiers import Notifier
from tests.support.documents import NOW, WEEK, feedback, put, reviewed_opinions
from tests.support.notified import Receiver, mail_server, receiver
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.processes import silent_port
from tests.support.retrainings import end_run, partition, put_run
from tests.support.ticks import launch, outcome_tick, volume_tick, weekly_tick

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
WEEK_BEFORE = "2026-02-22"
PROMOTED = {OUTCOME_TAG: "promoted", REASON_TAG: "every gate check passed"}
HELD = {OUTCOME_TAG: "held", REASON_TAG: "held by f1_threshold", "nhm/held_by": "f1_threshold"}


def tags_of(platform: Platform, run_id: str) -> Mapping[str, str]:
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    return run.tags


def triggers(platform: Platform) -> dict[str, dict[str, Any]]:
    return {one["run_id"]: one for one in platform.database["retraining_triggers"].find()}


def audit(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["model_audit_log"].find({"kind": "broken"}))


def without_mongodb(platform: Platform) -> Platform:
    return platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", mongodb_timeout_s=0.3)


@pytest.fixture
def hooked() -> Iterator[tuple[Receiver, Notifier]]:
    with receiver() as there:
        yield there, there.notifier


def put_ended_run(platform: Platform, tags: Mapping[str, str] = PROMOTED, *, at: datetime | None = None) -> str:
    """A run that has ended, now or then, as its own process says so."""
    run_id = put_run(platform.instance, status=DagsterRunStatus.STARTED, tags=tags)
    with freeze_time(at or datetime.now(UTC)):
        end_run(platform.instance, run_id, DagsterEventType.RUN_SUCCESS)
    return run_id


@pytest.mark.parametrize("outcome", ["promoted", "held", "superseded", "unchanged"])
def test_an_outcome_is_written_down_and_told_once(platform: Platform, hooked: tuple[Receiver, Notifier], outcome: str):
    there, webhook = hooked
    run_id = put_ended_run(platform, {OUTCOME_TAG: outcome, REASON_TAG: "so it is"})
    for _ in range(3):
        outcome_tick(platform, [webhook])
    found = triggers(platform)[run_id]
    created = platform.instance.get_run_record_by_id(run_id).create_timestamp
    assert abs(found.pop("requested_at") - created) < timedelta(milliseconds=1)
    assert found == {
        "_id": f"run:{run_id}",
        "kind": "other",
        "number": 0,
        "specialist": "technical",
        "week": WEEK,
        "status": outcome,
        "run_id": run_id,
        "reason": "so it is",
        "broken_by": None,
        "finished_at": NOW,
    }
    assert [(one["outcome"], one["reason"]) for one in there.retrainings] == [(outcome, "so it is")]
    assert tags_of(platform, run_id)["nhm/reported"] == run_id
    assert audit(platform) == []


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
@pytest.mark.parametrize("tags", [{}, PROMOTED, HELD, {BROKEN_BY_TAG: "data"}])
def test_a_run_that_nobody_said_anything_of_was_killed(
    platform: Platform, hooked: tuple[Receiver, Notifier], status: DagsterRunStatus, tags: dict[str, str]
):
    """Whatever the attempt before it left in its tags."""
    there, webhook = hooked
    run_id = put_run(platform.instance, status=status, tags={**tags, "nhm/actor": "ada"})
    outcome_tick(platform, [webhook])
    found = triggers(platform)[run_id]
    assert (found["status"], found["broken_by"]) == ("broken", "killed")
    (entry,) = audit(platform)
    assert entry == {
        "_id": f"broken:{run_id}",
        "kind": "broken",
        "specialist": "technical",
        "week": WEEK,
        "model": "technical-evaluator",
        "reason": "its process ended before the run did",
        "broken_by": "killed",
        "dagster_run_id": run_id,
        "actor": "ada",
        "at": NOW,
    }
    (told,) = there.retrainings
    assert (told["outcome"], told["broken_by"], told["held_by"]) == ("broken", "killed", [])
    assert told["reason"] == "its process ended before the run did"
    tagged = tags_of(platform, run_id)
    assert (tagged[OUTCOME_TAG], tagged[BROKEN_BY_TAG]) == ("broken", "killed")


def test_what_dagster_says_of_a_run_that_it_ended_is_the_reason(platform: Platform):
    run_id = put_run(platform.instance, status=DagsterRunStatus.STARTED)
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    platform.instance.report_run_failed(run, "Exceeded maximum runtime of 7200 seconds.")
    outcome_tick(platform)
    assert triggers(platform)[run_id]["reason"] == "Exceeded maximum runtime of 7200 seconds."


def test_a_run_that_is_started_over_waits_for_its_outcome(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    first = put_run(platform.instance, status=FAILURE, tags={"dagster/will_retry": "true", "nhm/trigger": "t-1"})
    outcome_tick(platform, [webhook])
    assert triggers(platform)[first]["status"] == "retrying"
    assert there.retrainings == []
    inherited = {
        **tags_of(platform, first),
        **PROMOTED,
        "dagster/retry_number": "1",
        "dagster/will_retry": "false",
    }
    second = put_run(platform.instance, tags=inherited, parent=first)
    outcome_tick(platform, [webhook])
    (found,) = triggers(platform).values()
    assert (found["_id"], found["status"], found["run_id"]) == ("t-1", "promoted", second)
    assert [one["run"].split("/")[-1] for one in there.retrainings] == [second]


def test_while_dagster_has_not_said_whether_it_retries_nobody_is_alarmed(
    tmp_path: Path, platform: Platform, hooked: tuple[Receiver, Notifier]
):
    """It says that the run failed, and in a second write that it will start it over."""
    there, webhook = hooked
    overrides = {"run_retries": {"enabled": True, "max_retries": 2}, "telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        retrying = replace(platform, instance=instance)
        first = put_run(instance, status=FAILURE)
        outcome_tick(retrying, [webhook])
        assert (there.retrainings, triggers(retrying)) == ([], {})
        instance.add_run_tags(first, {"dagster/will_retry": "false"})
        outcome_tick(retrying, [webhook])
        assert len(there.retrainings) == 1


def test_an_attempt_of_a_run_that_nothing_triggered_shares_its_document(platform: Platform):
    first = put_run(platform.instance, status=FAILURE, tags={"dagster/will_retry": "true"})
    outcome_tick(platform)
    put_run(platform.instance, tags={**PROMOTED, "dagster/retry_number": "1"}, parent=first)
    outcome_tick(platform)
    (found,) = platform.database["retraining_triggers"].find()
    assert (found["_id"], found["status"]) == (f"run:{first}", "promoted")


def test_a_persons_re_execution_inherits_tags_and_is_reported_under_its_own_id(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    first = put_run(platform.instance, tags=HELD)
    outcome_tick(platform, [webhook])
    inherited = {**tags_of(platform, first), **PROMOTED}
    assert inherited["nhm/reported"] == first
    second = put_run(platform.instance, tags=inherited, parent=first)
    outcome_tick(platform, [webhook])
    assert {run_id: one["status"] for run_id, one in triggers(platform).items()} == {
        first: "held",
        second: "promoted",
    }
    assert [one["outcome"] for one in there.retrainings] == ["held", "promoted"]


def test_a_run_of_a_part_that_decided_nothing_is_left_in_peace(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    run_id = put_run(platform.instance, only=["feedback_dataset"])
    outcome_tick(platform, [webhook])
    assert (triggers(platform), there.retrainings) == ({}, [])
    assert tags_of(platform, run_id)["nhm/reported"] == run_id


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
def test_a_run_that_goes_on_is_not_reported(platform: Platform, status: DagsterRunStatus):
    run_id = put_run(platform.instance, status=status, tags=PROMOTED)
    outcome_tick(platform)
    assert triggers(platform) == {}
    assert "nhm/reported" not in tags_of(platform, run_id)


def test_runs_of_other_jobs_are_none_of_its_business(platform: Platform, hooked: tuple[Receiver, Notifier]):
    from dagster._core.test_utils import create_run_for_test

    there, webhook = hooked
    create_run_for_test(platform.instance, job_name="rollback_promotion", status=FAILURE)
    assert "0 outcomes reported" in outcome_tick(platform, [webhook]).says
    assert there.retrainings == []


def test_the_document_of_a_launch_gets_its_outcome(platform: Platform):
    few = platform.with_settings(retraining_feedback_threshold=1)
    put(platform.database, feedback=[feedback(submitted_at=NOW - timedelta(hours=1))])
    (by_volume,) = launch(few, volume_tick(few), status=FAILURE)
    outcome_tick(few)
    found = triggers(platform)[by_volume]
    assert (found["kind"], found["number"], found["count"]) == ("feedback_volume", 1, 1)
    assert (found["status"], found["requested_at"], found["finished_at"]) == ("broken", NOW, NOW)
    assert "claimed_until" not in found


def test_the_documents_of_a_weekly_tick_get_their_outcomes(platform: Platform):
    sunday = datetime(2026, 3, 15, 2, tzinfo=UTC)
    ids = launch(platform, weekly_tick(platform, sunday), status=CANCELED)
    outcome_tick(platform)
    found = triggers(platform)
    assert {found[run_id]["_id"] for run_id in ids} == {
        f"weekly:{specialist}|2026-03-08"
        for specialist in ("technical", "business", "behavior", "evolution", "architecture")
    }
    assert {one["status"] for one in found.values()} == {"broken"}
    assert {one["kind"] for one in found.values()} == {"weekly"}


CURSORS = ["", "0", "2026-03-20", "1999-01-01T00:00:00+00:00", '{"run": 7}', "\x00"]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_lost_or_foreign_cursor_repeats_nothing_and_loses_nothing(
    platform: Platform, hooked: tuple[Receiver, Notifier], cursor: str
):
    there, webhook = hooked
    put_ended_run(platform)
    outcome_tick(platform, [webhook])
    second = put_ended_run(platform, HELD)
    outcome_tick(platform, [webhook], cursor=cursor)
    outcome_tick(platform, [webhook], cursor=cursor)
    assert [one["outcome"] for one in there.retrainings] == ["promoted", "held"]
    assert triggers(platform)[second]["status"] == "held"


def test_a_cursor_of_the_future_is_not_believed(platform: Platform):
    """A clock was set wrong for a while: everything that ends until then would go unreported."""
    run_id = put_ended_run(platform)
    tick = outcome_tick(platform, cursor="2099-01-01T00:00:00+00:00")
    assert triggers(platform)[run_id]["status"] == "promoted"
    assert tick.cursor is not None
    assert datetime.fromisoformat(tick.cursor) <= datetime.now(UTC)


def test_the_cursor_moves_on_and_skips_no_run(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    cursor = None
    for turn in range(3):
        for number in range(turn):
            put_ended_run(platform, at=datetime.now(UTC) - timedelta(minutes=60 - 20 * turn, seconds=number))
        cursor = outcome_tick(platform, [webhook], cursor=cursor).cursor
    assert len(there.retrainings) == 3
    assert len(triggers(platform)) == 3


def test_more_runs_than_one_tick_reports_are_reported_by_the_next_ones(platform: Platform):
    """A daemon that comes back marks all that were under way as failed, at one moment."""
    ids = [put_run(platform.instance, tags=PROMOTED) for _ in range(55)]
    first = outcome_tick(platform)
    assert "50 outcomes reported, 5 to be tried again" in first.says
    outcome_tick(platform, cursor=first.cursor)
    assert set(triggers(platform)) == set(ids)


def test_while_mongodb_is_away_nothing_is_lost_and_everybody_is_told_once(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    ids = [put_ended_run(platform), put_run(platform.instance, partition(specialist="business"), status=FAILURE)]
    away = without_mongodb(platform)
    for _ in range(2):
        with pytest.raises(MongoUnavailable, match="cannot be reached"):
            outcome_tick(away, [webhook])
    assert triggers(platform) == {}
    outcome_tick(platform, [webhook])
    assert {run_id: one["status"] for run_id, one in triggers(platform).items()} == dict(
        zip(ids, ["promoted", "broken"], strict=True)
    )
    assert len(audit(platform)) == 1
    assert sorted(one["outcome"] for one in there.retrainings) == ["broken", "promoted"]


def test_a_notifier_that_is_down_is_tried_again_and_the_others_are_told_once(platform: Platform):
    with receiver() as first, receiver() as second:
        first.status = 503
        all_of_them = [first.notifier, second.notifier]
        run_id = put_ended_run(platform)
        tick = outcome_tick(platform, all_of_them)
        assert "0 outcomes reported, 1 to be tried again" in tick.says
        assert triggers(platform)[run_id]["status"] == "promoted"
        assert "nhm/reported" not in tags_of(platform, run_id)
        first.status = 200
        outcome_tick(platform, all_of_them, cursor=tick.cursor)
        outcome_tick(platform, all_of_them, cursor=tick.cursor)
    assert (len(first.retrainings), len(second.retrainings)) == (2, 1)
    assert tags_of(platform, run_id)["nhm/reported"] == run_id
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is SUCCESS


@pytest.mark.parametrize(("minutes", "given_up"), [(50, False), (70, True)])
def test_a_notifier_that_is_down_for_an_hour_is_passed_over(
    platform: Platform,
    hooked: tuple[Receiver, Notifier],
    minutes: int,
    given_up: bool,  # noqa: FBT001 - a table
):
    there, webhook = hooked
    there.status = 500
    run_id = put_ended_run(platform, at=datetime.now(UTC) - timedelta(minutes=minutes))
    outcome_tick(platform, [webhook])
    assert (tags_of(platform, run_id).get("nhm/reported") == run_id) is given_up
    assert triggers(platform)[run_id]["status"] == "promoted"


def test_a_notifier_that_is_down_is_waited_for_once_a_tick_and_holds_no_other_run_up(platform: Platform):
    ids = [put_ended_run(platform) for _ in range(5)]
    with receiver() as down, receiver() as there:
        down.status = 500
        outcome_tick(platform, [down.notifier, there.notifier])
    assert set(triggers(platform)) == set(ids)
    assert len(down.retrainings) == 1
    assert len(there.retrainings) == 5


def test_runs_that_wait_for_a_notifier_come_after_those_that_are_new(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    there.status = 500
    waiting = [put_ended_run(platform) for _ in range(2)]
    for _ in waiting:
        outcome_tick(platform, [webhook])
    new = put_ended_run(platform, HELD)
    there.status = 200
    outcome_tick(platform, [webhook])
    told = [one["run"].split("/")[-1] for one in there.retrainings[-3:]]
    assert told.index(new) == 0
    assert set(told) == {new, *waiting}


def test_mongodb_that_is_away_is_waited_for_once_a_tick(platform: Platform):
    for _ in range(5):
        put_run(platform.instance, tags=PROMOTED)
    with silent_port() as port:
        away = platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{port}", mongodb_timeout_s=1)
        before = time.monotonic()
        with pytest.raises(MongoUnavailable):
            outcome_tick(away)
        assert time.monotonic() - before < 1 * 4


@pytest.mark.parametrize(
    ("wanted", "told"), [("broken", ["broken"]), ("promoted,held", ["held", "promoted"]), (",", [])]
)
def test_only_outcomes_that_are_asked_for_are_told(platform: Platform, wanted: str, told: list[str]):
    choosy = platform.with_settings(notify_outcomes=wanted)
    ids = [put_ended_run(platform), put_ended_run(platform, HELD), put_run(platform.instance, status=FAILURE)]
    with receiver() as there:
        outcome_tick(choosy, [there.notifier])
    assert sorted(one["outcome"] for one in there.retrainings) == told
    assert set(triggers(platform)) == set(ids)


@dataclass(frozen=True)
class Story:
    """Real runs, by what became of them, and what everybody heard of them."""

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
    nowhere = f"127.0.0.1:{free_port()}"
    away = platform.with_settings(mongodb_uri=f"mongodb://{nowhere}", mongodb_timeout_s=0.3)
    results = {
        "part": platform.retrain(only=["feedback_dataset"]),
        "promoted": platform.retrain(),
        "unchanged": platform.retrain(),
        "superseded": platform.retrain(week=WEEK_BEFORE),
        "held": platform.retrain("business"),
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
    "data": ("broken", "data"),
    "MongoDB": ("broken", "MongoDB"),
    "MLflow": ("broken", "MLflow"),
}


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_real_runs_are_written_down_as_what_they_came_to(story: Story):
    found = triggers(story.platform)
    names = {run_id: name for name, run_id in story.runs.items()}
    assert {names[run_id]: (one["status"], one["broken_by"]) for run_id, one in found.items()} == STATUS
    entries = {names[one["dagster_run_id"]]: one["broken_by"] for one in audit(story.platform)}
    assert entries == {name: name for name in ("data", "MongoDB", "MLflow")}


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_real_runs_are_told_with_metrics_against_thresholds_and_a_link(story: Story):
    assert set(story.posted) == {run_id for name, run_id in story.runs.items() if name != "part"}
    told = story.posted[story.runs["promoted"]]["retraining"]
    assert (told["specialist"], told["week"], told["outcome"]) == ("technical", WEEK, "promoted")
    assert (told["model"], told["version"], told["job"]) == ("technical-evaluator", "1", "specialist_retraining")
    assert told["run"] == f"https://dagster.hive.example/runs/{story.runs['promoted']}"
    assert set(told["gate"]) == {
        "precision_threshold",
        "recall_threshold",
        "f1_threshold",
        "not_worse_than_production",
        "beats_baseline",
        "enough_evidence",
        "data_source_allowed",
    }
    assert told["gate"]["f1_threshold"]["passed"] is True
    assert "0.72" in told["gate"]["f1_threshold"]["says"]


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_a_held_run_is_told_with_the_checks_that_held_it(story: Story):
    body = story.posted[story.runs["held"]]
    told = body["retraining"]
    assert "precision_threshold" in told["held_by"]
    assert told["gate"]["precision_threshold"]["passed"] is False
    assert told["broken_by"] is None
    assert body["title"].startswith(f"business, week {WEEK}: held by ")
    assert "FAILED precision_threshold: " in body["message"]


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_broken_runs_are_told_with_the_sentence_that_names_the_cause(story: Story):
    data, mongodb, mlflow = (story.posted[story.runs[name]]["retraining"] for name in ("data", "MongoDB", "MLflow"))
    assert "enough_samples: " in data["reason"]
    assert data["gate"] == {}
    assert mongodb["reason"].startswith("feedback_dataset: MongoDB at mongodb://127.0.0.1")
    assert mlflow["reason"].startswith("trained_model: ")
    assert "MLflow" in mlflow["reason"]
    assert {one["outcome"] for one in (data, mongodb, mlflow)} == {"broken"}
    assert f"behavior, week {WEEK}: broken by data" in story.mailed
    assert len(story.mailed) == 7
