"""A person in front of Dagster's pages: a real browser, the real webserver and daemon."""

import re
from datetime import datetime, timedelta
from urllib.parse import unquote

import pytest
from dagster import AssetKey, DagsterRun, RunsFilter

from nhm_assets.domain.asset_keys import PRODUCTION_MODELS
from nhm_assets.domain.dagster_names import SCHEDULE, VOLUME_SENSOR
from nhm_assets.registry.versions import version_in_production
from tests.browser.conftest import BEHAVIOR, BUSINESS, SECRETS, TECHNICAL, THRESHOLD, WEEK, Site
from tests.support import journeys
from tests.support.browser import Tab
from tests.support.daemon import becomes_true

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def ended_run(site: Site, tab: Tab, run_id: str) -> dict[str, str]:
    """Wait on the run's page until it says that the run has ended; returns the run's tags."""
    tab.open(f"/runs/{run_id}")

    def run():
        return site.platform.instance.get_run_by_id(run_id)

    assert becomes_true(lambda: run().is_finished), site.platform.log
    tab.find(run().status.value.capitalize())
    tab.settle()
    return run().tags


def in_production(site: Site, specialist) -> str:
    with site.platform.mlflow.client() as client:
        return str(version_in_production(client, specialist.registered_model).version)


def test_two_clicks_show_what_is_in_production_and_why_a_candidate_was_held_by_how_much_and_what_to_do(visitor: Tab):
    journeys.whats_in_production(visitor)
    rows = visitor.page.get_by_role("row")
    serves = rows.filter(has_text="every gate check passed").last.inner_text().split("\t")
    assert [cell.strip() for cell in serves][:2] == ["technical", "2"]
    # The page draws a row first and its Markdown later.
    said = " ".join(rows.filter(has_text="what_to_do").filter(has_text="Next:").last.inner_text().split())
    for words in (
        "behavior",
        "held (below the line)",
        "it missed precision by 0.",
        "look at the labels of its dataset",
    ):
        assert words in said


def test_the_decision_card_says_why_a_candidate_is_held_and_what_to_do(visitor: Tab):
    journeys.find_partition(visitor, "evaluation_report", BEHAVIOR)
    visitor.find("HELD (below the line)")
    visitor.find("is below the required 0.750")
    visitor.find("Next: ")
    decision = visitor.page.get_by_role("row").filter(has_text="HELD")
    assert decision.get_by_text("Show Markdown").count() == 0, "the card hides behind a link"
    assert journeys.show_picture(visitor, "picture") > 500


def test_one_partition_is_retrained_by_clicks_and_its_card_says_that_it_was_promoted(site: Site, visitor: Tab):
    tags = ended_run(site, visitor, journeys.retrain(visitor, BUSINESS))
    assert tags["nhm/outcome"] == "promoted", site.platform.log
    journeys.open_partition(visitor, "evaluation_report", BUSINESS)
    visitor.find("PASSED")
    assert in_production(site, BUSINESS.specialist) == "1"


def test_lineage_leads_to_the_collections_and_their_columns(visitor: Tab):
    journeys.follow_lineage(visitor, "feedback_dataset", "specialist_feedback")
    visitor.find("human_recommendation")
    visitor.find("approve, reject or review_required; becomes the label.")


def test_the_log_of_a_tick_says_why_the_sensor_launched_a_run(visitor: Tab):
    said = journeys.why_launched(visitor, VOLUME_SENSOR)
    assert f"evolution: {THRESHOLD + 10} of {THRESHOLD} feedback documents since" in said


@pytest.mark.exhaustive
def test_a_backfill_of_three_weeks_leaves_no_red_behind(site: Site, visitor: Tab):
    weeks = [(datetime.fromisoformat(WEEK) - timedelta(weeks=ago)).date().isoformat() for ago in (2, 1, 0)]
    backfill = journeys.backfill(visitor, TECHNICAL.specialist, (weeks[0], weeks[-1]))

    def runs() -> list[DagsterRun]:
        return site.platform.instance.get_runs(RunsFilter(tags={"dagster/backfill": backfill}))

    def state() -> str:
        return site.platform.instance.get_backfill(backfill).status.value

    assert becomes_true(lambda: state() == "COMPLETED_SUCCESS"), site.platform.log
    assert len(runs()) == 3
    # The oldest week has too few rows.
    assert {run.tags["nhm/outcome"] for run in runs()} <= {"superseded", "unchanged", "insufficient_data"}
    assert in_production(site, TECHNICAL.specialist) == "2"
    visitor.open(f"/runs/b/{backfill}")
    visitor.find("Succeeded")
    for asset in ("feedback_dataset", "evaluation_report", "promoted_version"):
        assert journeys.failed_partitions(visitor, asset) == "Failed (0)"


def test_the_schedule_is_turned_off_and_on_again(site: Site, visitor: Tab):
    def states() -> list[str]:
        states = site.platform.instance.all_instigator_state()
        return [state.status.value for state in states if state.instigator_name == SCHEDULE]

    journeys.switch_schedule(visitor)
    assert becomes_true(lambda: states() == ["STOPPED"])
    journeys.switch_schedule(visitor)
    assert becomes_true(lambda: states() == ["RUNNING"])


def test_a_previewed_tick_shows_its_runs_and_writes_nothing(site: Site, visitor: Tab):
    def written() -> tuple[int, int]:
        triggers = site.platform.database["retraining_triggers"].count_documents({})
        return triggers, len(site.platform.runs())

    before = written()
    assert "5 run requests" in journeys.preview_tick(visitor)
    assert written() == before


def test_a_held_candidate_is_refused_with_a_sentence(site: Site, visitor: Tab):
    run = journeys.materialize(visitor, "promoted_version", BEHAVIOR)
    ended_run(site, visitor, run)
    visitor.find("is not promoted: it is held by")
    assert journeys.failed_partitions(visitor, "promoted_version") == "Failed (0)"


def test_a_rollback_from_the_launchpad_puts_the_previous_version_back(site: Site, visitor: Tab):
    assert in_production(site, TECHNICAL.specialist) == "2"
    journeys.fill_launchpad(visitor, TECHNICAL.specialist, "rejects every plan")
    ended_run(site, visitor, journeys.launch(visitor, "Launch Run"))
    assert in_production(site, TECHNICAL.specialist) == "1"
    visitor.open("/assets/promoted_version?view=events")
    visitor.find("Rolled back to version 1: rejects every plan")


def told(site: Site) -> list[str]:
    """Every event and the tags of every run, and what is recorded without a run."""
    instance = site.platform.instance
    runs = instance.get_runs()
    texts = [str(run.tags) for run in runs]
    texts += [str(entry) for run in runs for entry in instance.all_logs(run.run_id)]
    texts += [str(one) for one in instance.fetch_materializations(PRODUCTION_MODELS, limit=100).records]
    return texts


def test_no_password_is_in_any_event_or_tag(site: Site):
    texts = told(site)
    assert len(texts) > 100
    assert [secret for secret in SECRETS if any(secret in text for text in texts)] == []


def test_every_link_in_the_metadata_leads_to_something(site: Site):
    found = {link for text in told(site) for link in re.findall(r"\]\((https?://[^)\\\s]+)\)", text)}
    kinds = {where_it_leads(site, link) for link in found}
    assert kinds == {"MLflow run", "version", "model", "run", "asset"}


def where_it_leads(site: Site, link: str) -> str:
    """What a link leads to; what is not there is an error."""
    at = unquote(link.partition("://")[2].partition("/")[2].removeprefix("#/").partition("?")[0]).split("/")
    with site.platform.mlflow.client() as client:
        match at:
            case ["runs", run_id] if "#" in link:
                client.get_run(run_id)
                return "MLflow run"
            case ["models", name, "versions", number]:
                client.get_model_version(name, number)
                return "version"
            case ["models", name]:
                client.get_registered_model(name)
                return "model"
            case ["runs", run_id]:
                assert site.platform.instance.has_run(run_id), link
                return "run"
            case ["assets", name] if site.platform.instance.has_asset_key(AssetKey(name)):
                return "asset"
    raise AssertionError(f"{link} leads nowhere")
