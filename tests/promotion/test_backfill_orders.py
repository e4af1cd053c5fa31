"""Backfills: in whatever order the weeks run, the newest good version ends in Production."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.partitions import WEEK
from nhm_assets.registry.transitions import registry_faults
from tests.support.documents import WEEK_END, put, reviewed_opinions
from tests.support.platform import Platform
from tests.support.promotions import promote_here
from tests.support.registries import log, registry
from tests.support.registry import MODEL, Registry
from tests.support.reruns import launch

__all__ = ["log", "registry"]

WEEKS = 12
HELD = (3, 7, 11)
"""Weeks whose candidates are held. The newest week is one of them."""
NEWEST_GOOD = 10
ENDS = [WEEK_END + WEEK * number for number in range(WEEKS)]


def orders(count: int) -> list[list[int]]:
    """Orders of the weeks: oldest first, newest first, and shuffled ones, each with its own seed."""
    shuffled = [random.Random(seed).sample(range(WEEKS), WEEKS) for seed in range(count - 2)]
    return [list(range(WEEKS)), list(reversed(range(WEEKS))), *shuffled]


def backfill(registry: Registry, log: Any, order: list[int], *, at_once: int) -> dict[str, datetime]:
    """Register one version per week in this order and promote it unless it is held; version -> window end."""
    versions = {week: registry.add(ENDS[week]) for week in order}

    def promote(week: int) -> Outcome:
        return promote_here(registry, log, versions[week], ENDS[week], wait_s=120).outcome

    good = [week for week in order if week not in HELD]
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(promote, good))
    assert set(outcomes) <= {Outcome.PROMOTED, Outcome.SUPERSEDED}
    assert outcomes[good.index(NEWEST_GOOD)] is Outcome.PROMOTED
    return {versions[week]: ENDS[week] for week in order}


def assert_the_newest_good_one_serves(registry: Registry, log: Any, ends: dict[str, datetime]) -> None:
    week = {version: ENDS.index(end) for version, end in ends.items()}
    stages = registry.state()["stages"]
    serving = [version for version, stage in stages.items() if stage == "Production"]
    assert [week[version] for version in serving] == [NEWEST_GOOD]
    assert registry_faults(registry.client(), MODEL, serving[0]) == []
    assert {stages[version] for version in stages if week[version] in HELD} == {"Staging"}
    assert log.count_documents({"state": "open"}) == 0
    promoted = [entry["version"] for entry in log.find({"kind": "promoted"}, sort=[("$natural", 1)])]
    assert promoted == sorted(promoted, key=week.__getitem__)
    assert {stages[version] for version in promoted[:-1]} <= {"Archived"}


@pytest.mark.parametrize("order", orders(8), ids=str)
def test_in_any_order_one_after_the_other_the_newest_good_week_serves(registry, log, order):
    ends = backfill(registry, log, order, at_once=1)
    assert_the_newest_good_one_serves(registry, log, ends)


@pytest.mark.servers
@pytest.mark.parametrize("order", orders(4), ids=str)
def test_all_at_once_the_newest_good_week_serves(registry, log, order):
    ends = backfill(registry, log, order, at_once=WEEKS)
    assert_the_newest_good_one_serves(registry, log, ends)


@pytest.mark.servers
@pytest.mark.slow
def test_whole_runs_in_a_shuffled_order_end_with_the_newest_week_in_production(platform: Platform):
    """Four weeks of one specialist. Weeks that run after a newer one are superseded and stay in Staging."""
    weeks = [(WEEK_END - WEEK * (back + 1)).strftime("%Y-%m-%d") for back in range(4)]
    newest, second, third, oldest = weeks
    opinions, reviews = reviewed_opinions(1000, days=55)
    put(platform.database, opinions=opinions, feedback=reviews)
    platform = platform.with_settings(max_f1_regression=1.0)
    runs = {week: launch(platform, week=week) for week in (third, newest, oldest, second)}
    assert all(run.success for run in runs.values())
    assert {week: platform.tags(run)["nhm/outcome"] for week, run in runs.items()} == {
        third: "promoted",
        newest: "promoted",
        oldest: "superseded",
        second: "superseded",
    }
    with platform.mlflow.client() as client:
        versions = {
            version.tags["nhm.partition"]: version for version in client.search_model_versions(f"name='{MODEL}'")
        }
        stages = {week: versions[f"technical|{week}"].current_stage for week in weeks}
        serving = str(versions[f"technical|{newest}"].version)
        assert registry_faults(client, MODEL, serving) == []
    assert stages == {third: "Archived", newest: "Production", oldest: "Staging", second: "Staging"}
