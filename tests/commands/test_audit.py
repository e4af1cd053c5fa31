"""`nhm audit`: the decisions of the audit log, and what was in Production at a time."""

import json
from datetime import timedelta

import pytest

from tests.support.documents import NOW
from tests.support.nhm import nhm, nhm_here


@pytest.fixture
def settings(home, mongod_uri, database):
    for number, (kind, version) in enumerate([("registered", "1"), ("promoted", "1"), ("promoted", "2")]):
        database["model_audit_log"].insert_one(
            {
                "_id": f"{kind}:{version}",
                "kind": kind,
                "specialist": "technical",
                "model": "technical-evaluator",
                "version": version,
                "actor": "ada@example.org",
                "reason": "every gate check passed",
                "at": NOW + timedelta(days=number),
            }
        )
    return {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}


@pytest.mark.servers
def test_decisions_are_listed_newest_first_with_who_and_why(settings):
    shown = nhm_here("audit", "technical", **settings).stdout.splitlines()
    rows = [line.split()[2:5] for line in shown[2:]]
    assert rows == [["technical", "promoted", "2"], ["technical", "promoted", "1"], ["technical", "registered", "1"]]
    assert all("ada@example.org" in line and "every gate check passed" in line for line in shown[2:])


@pytest.mark.servers
def test_a_deletion_of_files_names_the_versions(settings, database):
    deleted = {"_id": "retention:1", "kind": "files_deleted", "specialist": "technical", "model": "technical-evaluator"}
    database["model_audit_log"].insert_one({**deleted, "versions": ["2", "1"], "at": NOW + timedelta(days=9)})
    shown = nhm_here("audit", "technical", "--version", "1", **settings).stdout.splitlines()
    assert shown[2].split()[2:] == ["technical", "files_deleted", "2,", "1"]


def test_where_no_decision_fits_it_says_so(settings):
    shown = nhm_here("audit", "technical", "--version", "x", **settings)
    assert (shown.returncode, shown.stdout) == (0, "No decision is recorded that fits.\n")


@pytest.mark.exhaustive
def test_a_specialist_that_was_taken_out_keeps_its_history(settings, tmp_path):
    (tmp_path / "specialists.yaml").write_text("- name: business\n")
    chosen = settings | {"specialists_file": tmp_path / "specialists.yaml"}
    shown = nhm_here("audit", "technical", **chosen).stdout.splitlines()
    assert [line.split()[2:5] for line in shown[2:3]] == [["technical", "promoted", "2"]]
    unknown = nhm_here("audit", "evolution", **chosen)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "unknown specialist 'evolution'. Choose one of business" in unknown.stderr
    assert "unknown specialist 'technical'" in nhm("retrain", "--specialist", "technical", **chosen).stderr


def test_json_can_be_read_by_programs_and_options_select(settings):
    since = (NOW + timedelta(days=1)).isoformat()
    found = json.loads(nhm_here("audit", "--json", "--since", since, "--version", "1", **settings).stdout)
    assert [(entry["kind"], entry["at"]) for entry in found] == [("promoted", since)]


def test_an_entry_is_shown_whole_by_its_id(settings):
    entry = json.loads(nhm_here("audit", "promoted:2", **settings).stdout)
    assert (entry["_id"], entry["version"], entry["actor"]) == ("promoted:2", "2", "ada@example.org")
    assert nhm_here("audit", "promoted:3", **settings).returncode == 2


def test_what_was_in_production_at_a_time(settings):
    moment = f"{NOW + timedelta(days=1.5):%Y-%m-%dT%H:%M}"
    there = json.loads(nhm_here("audit", "--as-of", moment, "--json", **settings).stdout)["in_production"]
    assert there["technical"]["version"] == "1"
    assert there["business"] is None
    shown = nhm_here("audit", "--as-of", moment, **settings).stdout
    assert ["technical", "1"] in [line.split()[:2] for line in shown.splitlines()]
    assert ["business", "none"] in [line.split()[:2] for line in shown.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since: 'yesterday' is no ISO time"),
        (["--as-of", "2026-03-01", "--version", "1"], "--as-of shows one moment"),
        (["somebody"], "unknown specialist 'somebody'"),
    ],
)
def test_wrong_use_is_refused(home, arguments, message):
    done = nhm_here("audit", *arguments, nhm_home=home)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
