"""A backfill of twelve weeks of all specialists, by the command that people type. It takes a quarter of an hour."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import FIVE, Specialist
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.servers import SCRIPTS

WEEKS = 12
DAYS = WEEKS * 7 + 40
FEEDBACK_PER_DAY = 13
SETTINGS = {
    "min_real_samples": 200,
    "min_test_rows": 40,
    "retraining_feedback_threshold": 10_000,
    # Which week is promoted depends on the weeks alone, not on the order in which they run.
    "max_f1_regression": 1.0,
}
CONTRADICTORY = Specialist("behavior")
"""The specialist whose newest week has contradictory feedback, so that its candidate is held."""


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_a_backfill_of_twelve_weeks_ends_with_the_newest_good_versions_in_production(new_platform: NewPlatform):
    platform = new_platform(**SETTINGS)
    newest = Partition(last_closed_week(datetime.now(UTC)), Specialist("technical")).week_end
    for specialist in FIVE:
        good_until = newest - timedelta(weeks=1) if specialist == CONTRADICTORY else newest
        platform.add_feedback(specialist, DAYS * FEEDBACK_PER_DAY, end=good_until, days=DAYS)
    platform.add_feedback(CONTRADICTORY, 7 * FEEDBACK_PER_DAY, end=newest, days=7, disagreement=1.0)
    platform.start_daemon()

    weeks = [f"{newest - timedelta(weeks=back):%Y-%m-%d}" for back in range(1, WEEKS + 1)]
    partitions = [Partition(week, specialist) for specialist in FIVE for week in weeks]
    names = ",".join(str(partition.key) for partition in partitions)
    backfill(platform, names)
    assert becomes_true(lambda: platform.has_finished(len(partitions)), timeout_s=3000, every_s=5), platform.log
    outcomes = {run.tags["dagster/partition"]: run.tags["nhm/outcome"] for run in platform.runs()}
    assert outcomes.keys() == {str(one.key) for one in partitions}
    assert set(outcomes.values()) <= {"promoted", "held", "superseded"}
    assert outcomes[str(Partition(weeks[0], CONTRADICTORY).key)] == "held"
    expected = {name: newest - timedelta(weeks=name == CONTRADICTORY) for name in FIVE}
    assert {name: platform.production_window(name) for name in FIVE} == expected
    assert {name: platform.registry(name)[1] for name in FIVE} == {name: [] for name in FIVE}


def backfill(platform: DaemonPlatform, names: str) -> None:
    """Start a backfill of these partitions."""
    # It must be the daemon's own workspace: the daemon launches a run in the code location that the run names.
    command = [
        SCRIPTS / "dagster",
        "job",
        "backfill",
        "-w",
        platform.folder / "workspace.yaml",
        "-j",
        JOB,
        "--noprompt",
    ]
    done = subprocess.run(
        [*command, "--partitions", names],
        env=platform.variables,
        cwd=platform.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
