"""The common problems of docs/runbook.md: the trouble is made, and its section's commands are followed."""

import re

import pytest

from nhm_assets.domain.dagster_names import SCHEDULE
from tests.commands.conftest import SETTINGS
from tests.support.documents import NOW, WEEK, put, reviewed_opinions
from tests.support.nhm import nhm
from tests.support.runbook import commands_of, follow


@pytest.mark.servers
@pytest.mark.slow
def test_the_metrics_are_low(home, mongod_uri, database):
    """Reviewers decided by the throw of a coin. When they look at the plans again, the next candidate is promoted."""
    settings = {
        **SETTINGS,
        "nhm_home": home,
        "mongodb_uri": mongod_uri,
        "mongodb_database": database.name,
        "nhm_now": NOW.isoformat(),
    }
    opinions, reviews = reviewed_opinions(400, disagreement=0.95)
    put(database, opinions=opinions, feedback=reviews)
    assert nhm("retrain", "--week", WEEK, "--specialist", "technical", **settings).returncode == 0

    first, since_when, again = commands_of("The metrics are low")
    shown = follow(first, **settings).stdout
    assert re.search(rf"technical +{WEEK} +1 +held \(below the line\) +1", shown), shown
    assert re.search(r"technical +held +1 .*held by precision_threshold", follow(since_when, **settings).stdout)

    for name in ("specialist_feedback", "specialist_opinions"):
        database[name].delete_many({})
    opinions, reviews = reviewed_opinions(400, seed=2)
    put(database, opinions=opinions, feedback=reviews)
    done = follow(f"{again} --week {WEEK}", **settings)
    assert done.returncode == 0, done.stderr
    assert re.search(r"technical .* promoted +2 +Production", done.stdout), done.stdout


@pytest.mark.servers
@pytest.mark.slow
def test_the_schedule_does_not_run(home, mongod_uri, database):
    """Somebody has switched it off."""
    settings = {**SETTINGS, "nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    first, remedy, again = commands_of("The schedule does not run")
    assert follow(first, **settings).returncode == 0
    stopped = follow(remedy.replace("start", "stop", 1), **settings)
    assert stopped.returncode == 0, stopped.stderr

    shown = follow(first, **settings)
    assert shown.returncode == 3
    assert f"{SCHEDULE}: it is switched off, so nothing is retrained on Sunday. See " in shown.stdout
    done = follow(remedy, **settings)
    assert done.returncode == 0, done.stderr
    shown = follow(again, **settings)
    assert (shown.returncode, SCHEDULE in shown.stdout) == (0, False), shown.stdout
