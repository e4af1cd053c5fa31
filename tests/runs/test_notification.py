"""What people and programs are told when a retraining ends."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from dagster import DagsterRunStatus

from nhm_assets.runs.notification import Message, message_about
from tests.support.documents import WEEK
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_run
from tests.support.wiped import session_platform, wiped

__all__ = ["session_platform", "wiped"]

RUNBOOK = "docs/runbook.md"

HELD = Message(
    specialist="technical",
    week=WEEK,
    outcome="held",
    reason="held by recall_threshold, f1_threshold",
    held_by=("recall_threshold", "f1_threshold"),
    broken_by=None,
    model="technical-evaluator",
    version="7",
    verdicts={
        "precision_threshold": (True, "precision 0.812, at least 0.75 is needed"),
        "recall_threshold": (False, "recall 0.640, at least 0.70 is needed"),
    },
    link="http://127.0.0.1:3000/runs/r-1",
    report="http://127.0.0.1:3000/assets/evaluation_report?view=partitions&partition=technical%7C2026-03-01",
    runbook="docs/runbook.md#held",
)


def test_the_subject_names_specialist_week_outcome_checks_and_version():
    assert HELD.subject == "technical, week 2026-03-01: held by recall_threshold, f1_threshold (version 7)"


def test_the_text_holds_reason_metrics_against_thresholds_and_links():
    assert HELD.text.splitlines() == [
        "held by recall_threshold, f1_threshold",
        "passed precision_threshold: precision 0.812, at least 0.75 is needed",
        "FAILED recall_threshold: recall 0.640, at least 0.70 is needed",
        "Run: http://127.0.0.1:3000/runs/r-1",
        f"Report: {HELD.report}",
        "What to do: docs/runbook.md#held",
    ]


def test_programs_get_all_fields():
    assert HELD.as_json() == {
        "specialist": "technical",
        "week": WEEK,
        "outcome": "held",
        "reason": "held by recall_threshold, f1_threshold",
        "held_by": ["recall_threshold", "f1_threshold"],
        "held_as": None,
        "below_in_a_row": 0,
        "broken_by": None,
        "model": "technical-evaluator",
        "version": "7",
        "gate": {
            "precision_threshold": {"passed": True, "says": "precision 0.812, at least 0.75 is needed"},
            "recall_threshold": {"passed": False, "says": "recall 0.640, at least 0.70 is needed"},
        },
        "run": "http://127.0.0.1:3000/runs/r-1",
        "report": HELD.report,
        "runbook": "docs/runbook.md#held",
        "job": "specialist_retraining",
    }


@pytest.mark.parametrize(
    ("held_as", "in_a_row", "kind"),
    [
        ("uncertain", 0, "info"),
        ("below", 1, "warning"),
        ("below", 2, "warning"),
        ("below", 3, "failure"),
        ("below", 4, "warning"),
        ("below", 6, "failure"),
        (None, 0, "warning"),
    ],
)
def test_uncertain_is_told_quietly_and_every_third_below_in_a_row_is_an_alert(held_as, in_a_row, kind):
    message = replace(HELD, held_as=held_as, below_in_a_row=in_a_row)
    assert message.notification().kind == kind
    assert ("in a row" in message.subject) == ("in a row" in message.text) == (kind == "failure")


def test_an_alert_says_what_it_means_and_where_to_read_on():
    message = replace(HELD, held_as="below", below_in_a_row=3)
    assert message.subject == (
        "technical, week 2026-03-01: held by recall_threshold, f1_threshold (below the line, 3 in a row, version 7)"
    )
    assert message.text.splitlines()[1].startswith("3 candidates in a row are below the line, so more weeks alone")
    assert "'Held candidates'" in message.text


def test_a_repeated_decision_is_no_alert():
    """The same candidate, held again: it was told already."""
    message = replace(HELD, outcome="unchanged", held_as="below", below_in_a_row=3)
    assert message.notification().kind == "info"


def test_programs_are_told_how_a_candidate_is_held():
    fields = replace(HELD, held_as="below", below_in_a_row=2).as_json()
    assert (fields["held_as"], fields["below_in_a_row"]) == ("below", 2)


def message_of(
    platform: Platform, tags: Mapping[str, str], status: DagsterRunStatus = DagsterRunStatus.SUCCESS
) -> Message:
    run_id = put_run(platform.instance, partition(specialist="behavior"), status=status, tags=tags)
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    return message_about(platform.instance, run, dagster_url="http://127.0.0.1:3000/", runbook_url=RUNBOOK)


@pytest.mark.parametrize(
    ("tags", "status", "subject"),
    [
        ({"nhm/outcome": "promoted"}, DagsterRunStatus.SUCCESS, "promoted"),
        ({"nhm/outcome": "promoted", "nhm/held_by": ""}, DagsterRunStatus.SUCCESS, "promoted"),
        ({"nhm/outcome": "held", "nhm/held_by": "a,b"}, DagsterRunStatus.SUCCESS, "held by a, b"),
        (
            {"nhm/outcome": "held", "nhm/held_by": "a", "nhm/held_as": "uncertain", "nhm/below_in_a_row": ""},
            DagsterRunStatus.SUCCESS,
            "held by a (uncertain)",
        ),
        (
            {"nhm/outcome": "held", "nhm/held_by": "a", "nhm/held_as": "below", "nhm/below_in_a_row": "3"},
            DagsterRunStatus.SUCCESS,
            "held by a (below the line, 3 in a row)",
        ),
        (
            {"nhm/outcome": "held", "nhm/held_by": "", "nhm/held_as": "uncertain"},
            DagsterRunStatus.SUCCESS,
            "held (an A/B test runs)",
        ),
        ({"nhm/outcome": "promoted", "nhm/held_as": "below"}, DagsterRunStatus.SUCCESS, "promoted"),
        ({"nhm/outcome": "broken", "nhm/broken_by": "MLflow"}, DagsterRunStatus.FAILURE, "broken by MLflow"),
        # Tags inherited from the run before.
        (
            {
                "nhm/outcome": "broken",
                "nhm/broken_by": "killed",
                "nhm/held_by": "a,b",
                "nhm/held_as": "below",
                "nhm/below_in_a_row": "3",
            },
            DagsterRunStatus.FAILURE,
            "broken by killed",
        ),
        ({"nhm/outcome": "promoted", "nhm/broken_by": "killed"}, DagsterRunStatus.SUCCESS, "promoted"),
    ],
)
def test_the_tags_of_a_run_decide_its_message(
    wiped: Platform, tags: Mapping[str, str], status: DagsterRunStatus, subject: str
):
    assert message_of(wiped, tags, status).subject == f"behavior, week {WEEK}: {subject}"


def test_the_message_of_a_run_that_was_killed_early_has_no_version(wiped: Platform):
    message = message_of(wiped, {"nhm/outcome": "broken", "nhm/broken_by": "killed"}, DagsterRunStatus.FAILURE)
    assert (message.version, message.verdicts, message.model) == (None, {}, "behavior-evaluator")
    assert (message.report, message.runbook) == ("", "docs/runbook.md#broken"), "it made no report"


def test_the_link_leads_to_the_run_whether_or_not_the_address_ends_in_a_slash(wiped: Platform):
    run_id = put_run(wiped.instance, tags={"nhm/outcome": "promoted"})
    run = wiped.instance.get_run_by_id(run_id)
    assert run is not None
    links = {
        message_about(wiped.instance, run, dagster_url=url, runbook_url=RUNBOOK).link
        for url in ("https://hive.example/d", "https://hive.example/d/")
    }
    assert links == {f"https://hive.example/d/runs/{run_id}"}
