"""Which recorded verdicts of the checks that stop a run let a version be promoted."""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetKey, DagsterEvent, DagsterEventType, DagsterInstance

from nhm_assets.definitions import defs
from nhm_assets.domain.asset_keys import EVALUATION_REPORT, FEEDBACK_DATASET, TRAINED_MODEL
from nhm_assets.domain.dagster_internals import make_new_run_id
from nhm_assets.domain.outcomes import CHECKED_DATA, CHECKED_RUN, CHECKED_VERSION, DATASET_CHECKS, VERSION_CHECKS
from nhm_assets.promotion.blocking_checks import why_unfit
from tests.support.recorded import partition_of
from tests.support.reports import report

REPORT = report()
VERSION = {CHECKED_VERSION: REPORT.version, CHECKED_RUN: REPORT.run_id}
DATA = {CHECKED_DATA: REPORT.data_version}
RUN = make_new_run_id()
"""The one that verdicts of earlier releases are of."""


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def record(instance: DagsterInstance, about: dict[str, str], *checks: str, passed: bool = True, week: str = "") -> None:
    """What these checks say of a dataset or a version, in a run of their own."""
    asset: AssetKey = FEEDBACK_DATASET if checks[0] in DATASET_CHECKS else TRAINED_MODEL
    partition = partition_of(REPORT.model_copy(update={"week": week or REPORT.week}))
    for check in checks:
        evaluation = AssetCheckEvaluation(asset, check, passed=passed, metadata=about, partition=partition)
        event = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION.value, "job", event_specific_data=evaluation)
        instance.report_dagster_event(event, run_id=RUN if not about else make_new_run_id())


def why(instance: DagsterInstance, gate_run_ids: Any = ()) -> str:
    return why_unfit(instance, partition_of(REPORT), REPORT, gate_run_ids)


def test_nothing_forbids_a_version_whose_checks_and_whose_datasets_checks_passed(instance):
    record(instance, DATA, *DATASET_CHECKS)
    record(instance, VERSION, *VERSION_CHECKS)
    assert why(instance) == ""


@pytest.mark.parametrize("check", [*DATASET_CHECKS, *VERSION_CHECKS])
def test_each_check_that_failed_forbids_it_until_it_has_passed_for_the_same_thing(instance, check):
    record(instance, DATA, *DATASET_CHECKS)
    record(instance, VERSION, *VERSION_CHECKS)
    about, asset = (DATA, "feedback_dataset") if check in DATASET_CHECKS else (VERSION, "trained_model")
    record(instance, about, check, passed=False)
    assert why(instance) == f"{check} on {asset} failed for it"
    other = {name: f"{value}0" for name, value in about.items()}
    record(instance, other, check)
    assert why(instance) == f"{check} on {asset} failed for it", "another version has passed"
    record(instance, about, check)
    assert why(instance) == ""


def test_what_failed_for_another_version_or_another_week_forbids_nothing(instance):
    record(instance, DATA, *DATASET_CHECKS)
    record(instance, VERSION, *VERSION_CHECKS)
    record(instance, {CHECKED_DATA: "another"}, "no_leakage", passed=False)
    record(instance, VERSION | {CHECKED_VERSION: "3"}, "fits_into_pods", passed=False)
    record(instance, VERSION | {CHECKED_RUN: "of a registry before"}, "fits_into_pods", passed=False)
    record(instance, VERSION, "fits_into_pods", passed=False, week="2026-01-18")
    assert why(instance) == ""


def test_a_version_that_was_never_checked_is_forbidden(instance):
    record(instance, DATA, *DATASET_CHECKS)
    record(instance, VERSION | {CHECKED_RUN: "of a registry before"}, *VERSION_CHECKS)
    assert why(instance) == f"{', '.join(VERSION_CHECKS)} on trained_model said nothing about it"
    record(instance, VERSION, *VERSION_CHECKS[1:])
    assert why(instance) == f"{VERSION_CHECKS[0]} on trained_model said nothing about it"


def test_verdicts_of_earlier_releases_count_if_the_run_that_evaluated_recorded_them(instance):
    """They do not say what they judged. Within a run, the version that is evaluated is the one that was checked."""
    record(instance, {}, *DATASET_CHECKS)
    record(instance, {}, *VERSION_CHECKS)
    assert why(instance, {RUN}) == ""
    assert why(instance, {"another run"}) == (
        f"{', '.join(DATASET_CHECKS)} on feedback_dataset said nothing about it,"
        f" and {', '.join(VERSION_CHECKS)} on trained_model said nothing about it"
    )


def test_promotion_asks_for_every_check_before_it_that_stops_a_run():
    """Those of the report are the gate. What comes after the promotion cannot be asked for."""
    graph = defs.resolve_asset_graph()
    stopping = {(key.asset_key, key.name) for key in graph.asset_check_keys if graph.get(key).blocking}
    asked = {FEEDBACK_DATASET: DATASET_CHECKS, TRAINED_MODEL: VERSION_CHECKS}
    assert stopping == {(asset, check) for asset, checks in asked.items() for check in checks}
    assert not any(asset == EVALUATION_REPORT for asset, _ in stopping)
