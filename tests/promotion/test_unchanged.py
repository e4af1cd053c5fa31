"""A repeated run of a partition: nothing is trained or evaluated twice, and the outcome is `unchanged` if it is so."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from dagster import ExecuteInProcessResult

from nhm_assets.domain.partitions import WEEK as A_WEEK
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.registry.versions import all_versions
from tests.support.documents import WEEK, WEEK_END, put, reviewed_opinions
from tests.support.platform import Platform, failed_step
from tests.support.platforms import module_platform
from tests.support.reruns import FORCE, counted, launch, reexecution_of, retry_of

__all__ = ["module_platform"]
pytestmark = pytest.mark.servers

WEEK_BEFORE = "2026-02-22"
UP_TO_TRAINING = ["feedback_dataset", "trained_model"]


@dataclass(frozen=True)
class Story:
    """Runs of one specialist by name, in order, and the counts and stages after each."""

    platform: Platform
    specialist: str
    runs: dict[str, ExecuteInProcessResult] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    stages: dict[str, dict[str, str]] = field(default_factory=dict)

    def run(self, name: str, platform: Platform | None = None, **options: Any) -> ExecuteInProcessResult:
        result = launch(platform or self.platform, self.specialist, **options)
        assert result.success, failed_step(result)
        self.runs[name] = result
        self.counts[name] = counted(self.platform, self.specialist)
        with self.platform.mlflow.client() as client:
            versions = all_versions(client, f"{self.specialist}-evaluator")
            self.stages[name] = {str(version.version): version.current_stage for version in versions}
        return result

    def outcome(self, name: str) -> str:
        return self.platform.tags(self.runs[name])["nhm/outcome"]

    def reason(self, name: str) -> str:
        return self.platform.tags(self.runs[name])["nhm/reason"]

    def trained(self, name: str) -> TrainedModel:
        return self.runs[name].asset_value("trained_model")

    def report(self, name: str) -> EvaluationReport:
        return self.runs[name].asset_value("evaluation_report")

    def shown(self, name: str, asset: str, entry: str) -> Any:
        """An entry of the metadata that the run recorded for an asset."""
        (materialized,) = self.runs[name].asset_materializations_for_node(asset)
        return materialized.metadata[entry].value

    def grown(self, before: str, after: str) -> dict[str, int]:
        """How much each count has grown between two runs."""
        then, now = self.counts[before], self.counts[after]
        return {name: now[name] - then.get(name, 0) for name in now if now[name] != then.get(name, 0)}


@pytest.fixture(scope="module")
def good(module_platform: Platform) -> Story:
    """A promoted week and a superseded earlier week, each run several times."""
    opinions, reviews = reviewed_opinions(900, days=40)
    put(module_platform.database, opinions=opinions, feedback=reviews)
    story = Story(module_platform, "technical")
    story.run("first")
    story.run("again")
    story.run("older", week=WEEK_BEFORE)
    story.run("older again", week=WEEK_BEFORE)
    forced = story.run("forced", config=FORCE)
    story.run("forced, retried", config=FORCE, tags=retry_of(forced))
    story.run("forced, executed again", config=FORCE, tags=reexecution_of(forced))
    story.run("older, under another champion", week=WEEK_BEFORE)
    return story


@pytest.fixture(scope="module")
def held(module_platform: Platform) -> Story:
    """A candidate that is held by strict thresholds, and promoted by the default ones."""
    opinions, reviews = reviewed_opinions(400, specialist="business")
    put(module_platform.database, opinions=opinions, feedback=reviews)
    story = Story(module_platform, "business")
    strict = module_platform.with_settings(precision_threshold=1.0)
    story.run("first", strict)
    story.run("again", strict)
    story.run("under looser thresholds")
    story.run("once more")
    return story


@pytest.fixture
def story(request: pytest.FixtureRequest, which: str) -> Story:
    return request.getfixturevalue(which)


AGAIN = pytest.mark.parametrize(
    ("which", "first", "again"),
    [("good", "first", "again"), ("good", "older", "older again"), ("held", "first", "again")],
    ids=["promoted", "superseded", "held"],
)


@pytest.mark.slow
@AGAIN
def test_a_repeated_run_is_unchanged_and_repeats_the_earlier_reason(story: Story, first, again):
    assert story.outcome(first) in ("promoted", "superseded", "held")
    assert story.outcome(again) == "unchanged"
    before = {"promoted": "already in Production"}.get(story.outcome(first), story.reason(first))
    assert story.reason(again) == f"as before, {before}"


@AGAIN
def test_a_repeated_run_keeps_the_version_and_the_report(story: Story, first, again):
    assert story.trained(again) == story.trained(first).model_copy(update={"reused": True})
    assert story.report(again) == story.report(first)
    assert story.report(again).digest() == story.report(first).digest()
    for asset in ("trained_model", "evaluation_report"):
        assert [story.shown(name, asset, "reused") for name in (first, again)] == [False, True]


@AGAIN
def test_a_repeated_run_adds_nothing_and_moves_nothing(story: Story, first, again):
    assert story.grown(first, again) == {"model_audit_log": 1}
    assert story.stages[again] == story.stages[first]
    (entry,) = story.platform.database["model_audit_log"].find({"dagster_run_id": story.runs[again].run_id})
    assert (entry["kind"], entry["reason"]) == ("unchanged", story.reason(again))


def test_a_repeated_run_of_a_held_candidate_still_names_its_failed_checks(held: Story):
    tags = held.platform.tags(held.runs["again"])
    assert tags["nhm/held_by"] == "precision_threshold"
    assert "promoted_version" not in {
        event.asset_key.to_user_string() for event in held.runs["again"].get_asset_materialization_events()
    }


def test_lower_thresholds_promote_a_held_candidate_once_its_folds_are_fitted(held: Story):
    """The first report has none, because a first check had failed. So the same version is evaluated again."""
    assert held.outcome("under looser thresholds") == "promoted"
    first, second = held.report("first"), held.report("under looser thresholds")
    assert (second.version, second.candidate) == (first.version, first.candidate)
    assert (first.folds is None, second.folds is None) == (True, False)
    assert not held.shown("under looser thresholds", "evaluation_report", "reused")
    assert held.shown("once more", "evaluation_report", "reused")
    assert held.stages["under looser thresholds"] == {"1": "Production"}
    assert "nhm/held_by" not in held.platform.tags(held.runs["under looser thresholds"])
    assert held.outcome("once more") == "unchanged"


def test_a_new_champion_leads_to_a_new_evaluation(good: Story):
    name = "older, under another champion"
    assert good.trained(name).version == good.trained("older").version
    assert not good.shown(name, "evaluation_report", "reused")
    assert good.report("older").champion.version == "1"
    assert good.report(name).champion.version == "4"
    assert good.outcome(name) == "superseded"
    assert "the champion (version 4)" in good.reason(name)


def test_force_in_the_launchpad_trains_again(good: Story):
    assert good.outcome("forced") == "promoted"
    assert (good.trained("forced").version, good.trained("forced").reused) == ("3", False)
    assert good.grown("older again", "forced")["MLflow runs"] == 1


def test_a_retried_run_has_the_outcome_of_the_first_attempt_and_trains_nothing_twice(good: Story):
    """The process died after the promotion, before Dagster recorded it."""
    assert good.outcome("forced, retried") == "promoted"
    assert good.trained("forced, retried") == good.trained("forced")
    assert good.grown("forced", "forced, retried") == {}


def test_a_reexecution_by_a_person_with_force_trains_again(good: Story):
    assert good.outcome("forced, executed again") == "promoted"
    assert (good.trained("forced, executed again").version, good.trained("forced, executed again").reused) == (
        "4",
        False,
    )


def test_a_run_killed_after_its_training_continues_with_that_version_even_with_force(platform: Platform):
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=reviews)
    killed = launch(platform, config=FORCE, only=UP_TO_TRAINING)
    retried = launch(platform, config=FORCE, tags=retry_of(killed))
    assert platform.tags(retried)["nhm/outcome"] == "promoted"
    assert retried.asset_value("trained_model") == killed.asset_value("trained_model")
    assert counted(platform)["MLflow runs"] == 1


def test_a_candidate_of_the_running_week_is_judged_again_once_the_week_has_closed_without_other_rows(
    platform: Platform,
):
    opinions, reviews = reviewed_opinions(400, end=WEEK_END - timedelta(days=3), days=20)
    put(platform.database, opinions=opinions, feedback=reviews)
    running = platform.with_settings(nhm_now=WEEK_END - timedelta(days=2), precision_threshold=1.0)
    first, again = launch(running), launch(running)
    closed = launch(platform.with_settings(precision_threshold=1.0))
    reports = [run.asset_value("evaluation_report") for run in (first, again, closed)]
    assert [(report.version, report.in_mid_week) for report in reports] == [("1", True), ("1", True), ("1", False)]
    assert reports[2].window_end == WEEK_END
    outcomes = [platform.tags(run)["nhm/outcome"] for run in (first, again, closed)]
    assert outcomes == ["held", "unchanged", "held"]
    assert counted(platform)["MLflow runs"] == 1


def test_the_weeks_of_the_story_are_consecutive(good: Story):
    assert good.trained("first").window_end - good.trained("older").window_end == A_WEEK
    assert good.trained("first").week == WEEK
