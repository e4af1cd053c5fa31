"""`nhm watch`: the week of a specialist at a glance."""

import json

import pytest

from resources.storage import RecordIOManager
from tests.served.test_checks import answered, week
from tests.support.documents import WEEK
from tests.support.nhm import nhm_here


@pytest.fixture
def settings(home):
    return {"nhm_home": home, "nhm_now": "2026-03-10T12:00:00Z"}


@pytest.mark.servers
def test_the_newest_measured_week_is_shown_with_what_warns(settings, home):
    fallbacks = answered(by_version={"3": 60}, by_fallback={"heuristics": 40})
    RecordIOManager(str(home / "storage")).store(week(answered=fallbacks), "served_quality", "technical", WEEK)
    shown = nhm_here("watch", "technical", **settings).stdout
    assert f"technical, week {WEEK}" in shown
    assert "version 3 serves" in shown
    lines = {line.split()[0]: line.split()[1] for line in shown.splitlines()[2:] if line[:1].strip()}
    assert (lines["model_answers"], lines["features_stable"]) == ("LOOK", "-")
    assert json.loads(nhm_here("watch", "technical", "--week", WEEK, "--json", **settings).stdout)["version"] == "3"


@pytest.mark.servers
def test_a_specialist_that_was_taken_out_is_shown_as_it_was_last_measured(settings, home, tmp_path):
    (tmp_path / "specialists.yaml").write_text("- name: business\n")
    settings = settings | {"specialists_file": tmp_path / "specialists.yaml"}
    RecordIOManager(str(home / "storage")).store(week(), "served_quality", "technical", WEEK)
    assert f"technical, week {WEEK}" in nhm_here("watch", "technical", **settings).stdout
    assert (
        "week 2026-01-04 is not measured" in nhm_here("watch", "technical", "--week", "2026-01-04", **settings).stderr
    )
    assert "unknown specialist 'evolution'" in nhm_here("watch", "evolution", **settings).stderr


@pytest.mark.servers
def test_an_ab_test_that_was_not_measured_says_why(settings, home):
    record = week(faults={"A/B test": "technical-evaluator has no version '2': it has 3, 1"})
    RecordIOManager(str(home / "storage")).store(record, "served_quality", "technical", WEEK)
    shown = nhm_here("watch", "technical", **settings).stdout
    assert "A/B test: Not measured: technical-evaluator has no version '2': it has 3, 1" in shown


def test_a_week_that_is_no_partition_any_more_cannot_be_measured(settings):
    failed = nhm_here("watch", "technical", "--week", "2026-02-01", **settings, keep_weeks=2)
    assert failed.returncode == 2
    assert "technical: week 2026-02-01 was not measured, and cannot be any more" in failed.stderr
    assert "the weeks before 2026-02-22" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["technical"], "week 2026-03-08 and week 2026-03-01 are not measured yet"),
        (["technical", "--week", "2026-02-01"], "week 2026-02-01 is not measured yet"),
        (["nobody"], "unknown specialist"),
    ],
)
def test_what_cannot_be_shown_is_said(settings, arguments: list[str], reason: str):
    failed = nhm_here("watch", *arguments, **settings)
    assert failed.returncode != 0
    assert reason in failed.stderr


def test_a_damaged_record_is_not_taken_for_one_that_is_missing(settings, home):
    RecordIOManager(str(home / "storage")).store(week(), "served_quality", "technical", WEEK)
    (home / "storage" / "served_quality" / "technical" / f"{WEEK}.current").write_text("something else\n")
    failed = nhm_here("watch", "technical", **settings)
    assert failed.returncode != 0
    assert "is damaged" in failed.stderr
