"""`production_models`: what is in Production, shown whenever a pointer moved or an outcome was recorded."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetMaterialization, build_sensor_context

from nhm_assets.domain.asset_keys import PRODUCTION_MODELS, SERVED_QUALITY
from nhm_assets.domain.outcomes import OUTCOME_TAG, REASON_TAG
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.promotion.production import SEVERAL, LastOutcome, ProductionRow
from nhm_assets.promotion.production_models import SHOWN_AT_ONCE, overview, show_production, to_do
from nhm_assets.promotion.production_picture import draw_scores, scores_figure
from nhm_assets.registry.history import judged_since
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.steps.pictures import LARGEST, markdown
from sensors.registry import registry_sensor
from tests.support.documents import NOW, WEEK, WEEK_END
from tests.support.ended_runs import put_ended_run
from tests.support.nhm import nhm
from tests.support.pictures import cut_texts, overlapping_texts, shown_texts
from tests.support.platform import Platform
from tests.support.platforms import new_platform
from tests.support.ports import free_port
from tests.support.promotions import EARLIER, promote_here, roll_back_here
from tests.support.registry import MODEL, Registry
from tests.support.ticks import outcome_tick


@pytest.fixture
def platform(tmp_path: Path, mongod_uri: str, migrated_mlflow: Path) -> Iterator[Platform]:
    with new_platform(tmp_path, mongod_uri, migrated_mlflow, service_retries=0) as platform:
        yield platform


@pytest.fixture
def registry(platform: Platform) -> Registry:
    """A registry with two versions, promoted one after the other."""
    registry = Registry(platform.settings.nhm_home / "mlflow")
    for window_end in (EARLIER, WEEK_END):
        promote_here(registry, platform.database["model_audit_log"], registry.add(window_end), window_end)
    return registry


def show(platform: Platform, warnings: list[str] | None = None) -> bool:
    settings = platform.settings
    heard = [] if warnings is None else warnings
    return show_production(platform.instance, mongo_of(settings), mlflow_of(settings), settings, warn=heard.append)


def shown(platform: Platform) -> list[Any]:
    """The materializations of the asset, newest first."""
    records = platform.instance.fetch_materializations(PRODUCTION_MODELS, limit=20).records
    return [record.asset_materialization for record in records]


def row_of(platform: Platform, specialist: str = "technical") -> dict[str, str]:
    (table,) = (value for name, value in shown(platform)[0].metadata.items() if name == "specialists")
    return next(record.data for record in table.records if record.data["specialist"] == specialist)


def registry_tick(platform: Platform, cursor: str | None = None) -> str | None:
    resources = {
        "settings": platform.settings,
        "mongo": mongo_of(platform.settings),
        "mlflow": platform.mlflow,
        "notifiers": [],
    }
    context = build_sensor_context(instance=platform.instance, resources=resources, cursor=cursor)
    registry_sensor(context)
    return context.cursor


def test_a_row_says_what_serves_since_when_and_why(platform: Platform, registry: Registry):
    assert show(platform)
    row = row_of(platform)
    moved = platform.database["model_audit_log"].find_one({"version": "2"})["released_at"]
    assert (row["version"], row["last outcome"], row["at"]) == ("2", "promoted", f"{moved:%Y-%m-%d %H:%M}")
    assert row["window"].endswith(f"to {WEEK_END:%Y-%m-%d}")
    assert {record["specialist"] for record in told(platform)} == set(map(str, all_specialists()))
    assert row_of(platform, "business") | {"specialist": ""} == dict.fromkeys(row, "") | {
        "version": "none",
        "last outcome": "none yet",
    }
    assert next(iter(shown(platform)[0].metadata)) == "in_production"


def told(platform: Platform) -> list[dict[str, Any]]:
    """What `nhm status` says."""
    settings = platform.settings
    done = nhm(
        "status",
        "--json",
        nhm_home=settings.nhm_home,
        mongodb_uri=settings.mongodb_uri.get_secret_value(),
        mongodb_database=settings.mongodb_database,
    )
    return json.loads(done.stdout)["production"]


def test_nhm_status_shows_the_same_rows(platform: Platform, registry: Registry):
    show(platform)
    row, status = row_of(platform), told(platform)[0]
    assert (status["version"], status["last_outcome"]["outcome"]) == (row["version"], row["last outcome"])
    assert f"{datetime.fromisoformat(status['since']):%Y-%m-%d %H:%M}" == row["since"]
    assert status["last_outcome"]["reason"] == row["reason"]


def test_the_agreement_of_people_with_the_version_that_serves_is_shown_once_it_is_measured(
    platform: Platform, registry: Registry
):
    for week, version, f1 in (("2026-02-22", "2", 0.81), (WEEK, "1", 0.6)):
        metadata = {"version": version, "f1": f1, "reviewed": 45}
        partition = Partition.parse(week, "technical").key
        platform.instance.report_runless_asset_event(
            AssetMaterialization(SERVED_QUALITY, partition=partition, metadata=metadata)
        )
    show(platform)
    assert row_of(platform)["people agree"] == "0.810 in 2026-02-22, 45 reviewed"
    assert row_of(platform, "business")["people agree"] == ""


def test_it_is_materialized_only_if_a_row_has_changed(platform: Platform, registry: Registry):
    for _ in range(3):
        assert show(platform)
    assert len(shown(platform)) == 1
    roll_back_here(registry, platform.database["model_audit_log"])
    assert show(platform)
    assert len(shown(platform)) == 2
    assert (row_of(platform)["version"], row_of(platform)["last outcome"]) == ("1", "rolled_back")


def test_the_outcome_sensor_shows_a_run_without_a_candidate(platform: Platform, registry: Registry):
    put_ended_run(platform, {OUTCOME_TAG: "insufficient_data", REASON_TAG: "12 rows are too few"})
    outcome_tick(platform)
    row = row_of(platform)
    assert (row["version"], row["last outcome"]) == ("2", f"insufficient_data, week {WEEK}")
    assert row["reason"] == "12 rows are too few"


def test_the_registry_sensor_shows_moves_once_whoever_made_them(platform: Platform, registry: Registry):
    cursor = registry_tick(platform)
    assert row_of(platform)["version"] == "2"
    assert registry_tick(platform, cursor) == cursor
    platform = platform.with_settings(nhm_now=NOW + timedelta(hours=1))
    registry.client().transition_model_version_stage(MODEL, "1", "Production", archive_existing_versions=True)
    cursor = registry_tick(platform, cursor)
    assert (row_of(platform)["version"], row_of(platform)["last outcome"]) == ("1", "foreign_move")
    registry.client().transition_model_version_stage(MODEL, "2", "Production")
    registry_tick(platform, cursor)
    assert row_of(platform)["version"] == SEVERAL


def test_what_fails_is_a_warning_and_the_next_one_makes_up_for_it(platform: Platform, registry: Registry):
    away = platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", mongodb_timeout_s=0.3)
    warnings: list[str] = []
    assert not show(away, warnings)
    assert warnings[0].startswith("production_models shows an earlier state (MongoUnavailable: ")
    assert shown(platform) == []
    assert show(platform)
    assert row_of(platform)["version"] == "2"


def candidates(count: int, model: str = MODEL) -> list[dict[str, Any]]:
    """Entries of the audit log, a week apart, the newest of them now."""
    return [
        {
            "model": model,
            "kind": "promoted" if week % 3 == 0 else "held",
            "version": str(count - week),
            "at": NOW - timedelta(weeks=week),
            "window": {"end": NOW - timedelta(weeks=week)},
            "metrics": {"f1": 0.6 + 0.02 * (week % 10)},
        }
        for week in range(count)
    ]


def test_the_history_is_that_of_judged_candidates_oldest_first(platform: Platform):
    log = platform.database["model_audit_log"]
    log.insert_many([*candidates(20), {"model": MODEL, "kind": "held", "window": {"end": NOW}, "at": NOW}])
    found = judged_since(log, [MODEL], NOW - timedelta(weeks=12))
    assert [entry["version"] for entry in found] == [str(number) for number in range(9, 21)]
    assert judged_since(log, ["business-evaluator"], NOW - timedelta(weeks=12)) == []


LAST = LastOutcome("insufficient_data", NOW, "too few", WEEK, "run")
ROW = ProductionRow("technical", MODEL, "123456", since=NOW, f1=0.8, last=LAST)


@pytest.mark.parametrize(
    ("outcome", "held_as", "expected"),
    [
        ("promoted", None, "Nothing."),
        ("held", "uncertain", "held (uncertain); too few. Next: wait for the next week, or review more plans"),
        ("held", "below", "held (below the line); too few. Next: look at the labels"),
        ("insufficient_data", None, "Next: ask for reviews."),
        ("broken", None, "Next: do what the reason says."),
        ("foreign_move", None, "Next: keep it (`nhm adopt`)"),
    ],
)
def test_it_says_what_to_do(outcome: str, held_as: str | None, expected: str):
    text = to_do([replace(ROW, last=replace(LAST, outcome=outcome, held_as=held_as))])
    assert expected in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 60, "the page cuts it off"


def test_a_candidate_that_waits_for_an_ab_test_is_not_called_uncertain():
    last = replace(LAST, outcome="held", held_as="uncertain", by_gate=False, reason="version 3 waits")
    assert "held (an A/B test runs); version 3 waits." in " ".join(to_do([replace(ROW, last=last)]).split())


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "held by precision_threshold",
            "it missed precision by 0.050, F1 by 0.008, the F1 of version 2 by 0.088. Next: look at the labels",
        ),
        (
            f"version 3 was rolled back ({'too lax ' * 9}). To bring it back, run `nhm rollback technical --to 3`",
            "To bring it back, run `nhm rollback technical --to 3`.",
        ),
    ],
)
def test_a_candidate_that_the_gate_held_says_by_how_much_it_missed_another_one_why(
    platform: Platform, registry: Registry, reason: str, expected: str
):
    platform.database["model_audit_log"].insert_one(
        {
            "model": MODEL,
            "kind": "held",
            "held_as": "below",
            "reason": reason,
            "at": NOW + timedelta(days=999),
            "metrics": {"precision": 0.7, "recall": 0.9, "f1": 0.712},
            "thresholds": {"precision": 0.75, "recall": 0.7, "f1": 0.72},
            "champion": {"version": "2", "f1": 0.8},
        }
    )
    show(platform)
    said = " ".join(str(shown(platform)[0].metadata["what_to_do"].value).split())
    assert expected in said


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_command_that_a_reason_ends_with_is_whole_and_on_one_line(count: int):
    command = "`nhm rollback architecture --to 12 --reason TEXT`"
    reason = (
        f"version 12 was rolled back ({'it approves far too much ' * 20}) and is held. To bring it back, run {command}"
    )
    held = replace(LAST, outcome="held", held_as="below", by_gate=False, reason=reason)
    text = to_do([replace(ROW, specialist="architecture", last=held)] * count)
    assert sum(command in line for line in text.splitlines()) == count
    assert max(map(len, text.splitlines())) <= 60, "the page cuts it off"
    assert len(text) < SHOWN_AT_ONCE


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_the_picture_is_whole_and_small_for_any_number_of_specialists(count):
    names = [f"specialist-with-a-long-name-of-forty-{number:03}" for number in range(count)]
    rows = [replace(ROW, specialist=name, model=name) for name in names]
    judged = [entry for name in names[1:] for entry in candidates(12, name)]
    required = dict.fromkeys(names, 0.72)
    figure = scores_figure(rows, judged, now=NOW, required=required)
    assert cut_texts(figure) == []
    assert overlapping_texts(figure) == []
    drawn = draw_scores(rows, judged, now=NOW, required=required)
    assert drawn == draw_scores(rows, judged, now=NOW, required=required)
    assert len(markdown("scores", drawn)) < LARGEST


def test_the_picture_marks_promotions_and_the_threshold():
    figure = scores_figure([ROW], candidates(4), now=NOW, required={"technical": 0.72})
    texts = [text.get_text() for text in shown_texts(figure)]
    assert {"technical: version 123456 serves", "4", "1", "0.72"} <= set(texts)
    assert "3" not in texts


@pytest.mark.parametrize("count", [5, 40])
def test_the_overview_is_short_enough_to_be_shown_at_once(count: int):
    text = overview([replace(ROW, specialist=f"specialist-{number:03}") for number in range(count)])
    assert len(text) < SHOWN_AT_ONCE
    left = count - text.count("| specialist-")
    assert (left > 0) == (count > 5)
    assert (f"{left} more are in the table below." in text) == bool(left)
    held = replace(LAST, outcome="held", held_as="below", missed="precision by 0.050, recall by 0.100")
    assert (
        len(to_do([replace(ROW, specialist=f"specialist-{number:03}", last=held) for number in range(count)]))
        < SHOWN_AT_ONCE
    )
