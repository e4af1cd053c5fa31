"""How the sensor on ended runs treats retries, which inherit the tags of the run before."""

from dataclasses import replace
from pathlib import Path

from dagster import DagsterRunStatus

from resources.notifiers import Notifier
from tests.support.ended_runs import HELD, PROMOTED, recorded_triggers, tags_of
from tests.support.notified import Receiver
from tests.support.platform import Platform
from tests.support.retrainings import put_run
from tests.support.sqlite_instances import pooled_instance
from tests.support.ticks import outcome_tick

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


def test_a_run_that_dagster_retries_is_recorded_as_retrying_and_not_sent(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    first = put_run(platform.instance, status=FAILURE, tags={"dagster/will_retry": "true", "nhm/trigger": "t-1"})
    outcome_tick(platform, [webhook])
    assert recorded_triggers(platform)[first]["outcome"] == "retrying"
    assert there.retrainings == []
    inherited = {
        **tags_of(platform, first),
        **PROMOTED,
        "dagster/retry_number": "1",
        "dagster/will_retry": "false",
    }
    second = put_run(platform.instance, tags=inherited, parent=first)
    outcome_tick(platform, [webhook])
    (found,) = recorded_triggers(platform).values()
    assert (found["_id"], found["outcome"], found["run_id"]) == ("t-1", "promoted", second)
    assert [one["run"].split("/")[-1] for one in there.retrainings] == [second]


def test_nothing_is_sent_while_dagster_decides_about_a_retry(
    tmp_path: Path, platform: Platform, hooked: tuple[Receiver, Notifier]
):
    """Dagster records that the run failed, and in a second write that it will retry it."""
    there, webhook = hooked
    with pooled_instance(tmp_path, run_retries={"enabled": True, "max_retries": 2}) as instance:
        retrying = replace(platform, instance=instance)
        first = put_run(instance, status=FAILURE)
        outcome_tick(retrying, [webhook])
        assert (there.retrainings, recorded_triggers(retrying)) == ([], {})
        instance.add_run_tags(first, {"dagster/will_retry": "false"})
        outcome_tick(retrying, [webhook])
        assert len(there.retrainings) == 1


def test_the_retry_of_a_run_without_a_trigger_shares_its_document(platform: Platform):
    first = put_run(platform.instance, status=FAILURE, tags={"dagster/will_retry": "true"})
    outcome_tick(platform)
    put_run(platform.instance, tags={**PROMOTED, "dagster/retry_number": "1"}, parent=first)
    outcome_tick(platform)
    (found,) = platform.database["retraining_triggers"].find()
    assert (found["_id"], found["outcome"]) == (f"run:{first}", "promoted")


def test_a_re_execution_by_a_person_is_reported_under_its_own_id(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    first = put_run(platform.instance, tags=HELD)
    outcome_tick(platform, [webhook])
    inherited = {**tags_of(platform, first), **PROMOTED}
    assert inherited[".dagster/nhm_reported"] == first
    second = put_run(platform.instance, tags=inherited, parent=first)
    outcome_tick(platform, [webhook])
    assert {run_id: one["outcome"] for run_id, one in recorded_triggers(platform).items()} == {
        first: "held",
        second: "promoted",
    }
    assert [one["outcome"] for one in there.retrainings] == ["held", "promoted"]
