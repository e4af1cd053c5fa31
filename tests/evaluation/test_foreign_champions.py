"""A registry as the field has it: others put a version into Production. The first run ends promoted or held."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dataset_schema import TEST
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.champion import ScoredChampion, score_champion
from nhm_assets.registry.versions import all_versions, version_by_alias, window_end
from nhm_assets.registry.vocabulary import WINDOW_END_TAG
from tests.support.foreign import FOREIGN
from tests.support.learnable import learnable, store_checked_dataset
from tests.support.platform import Platform, verdicts
from tests.support.versions import MODEL, Versions, small_forest

pytestmark = pytest.mark.servers

UP_TO_PROMOTION = ["trained_model", "evaluation_report", "promoted_version"]


@dataclass(frozen=True)
class FirstRun:
    """What the first run of the platform made of a registry."""

    outcome: str
    result: ExecuteInProcessResult
    stages: dict[str, str]
    previous: str | None

    @property
    def report(self) -> EvaluationReport:
        return self.result.asset_value(AssetKey("evaluation_report"))

    @property
    def reason(self) -> str:
        found = {check.check_name: check for check in self.result.get_asset_check_evaluations()}
        return reason_in(found["not_worse_than_production"].description)


def first_run(platform: Platform, kind: str, **settings: Any) -> FirstRun:
    store_checked_dataset(platform, learnable(600, noise=0.02))
    with platform.mlflow.client() as client:
        versions = Versions(client, platform.settings.nhm_home, platform.database["model_audit_log"])
        version = FOREIGN[kind][0](versions)
        client.transition_model_version_stage(MODEL, version, "Production")
        ran = platform.with_settings(**settings)
        result = ran.retrain(only=UP_TO_PROMOTION)
        stages = {str(item.version): item.current_stage for item in all_versions(client, MODEL)}
        return FirstRun(ran.tags(result)["nhm/outcome"], result, stages, version_by_alias(client, MODEL, "previous"))


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_good_candidate_replaces_a_foreign_champion_which_becomes_the_previous_one(platform: Platform, kind: str):
    """Each of them broke the first run, and the advice was to leave Production empty."""
    run = first_run(platform, kind)
    assert run.outcome == "promoted", verdicts(run.result)
    assert run.stages == {"1": "Archived", "2": "Production"}
    assert run.previous == "1"
    assert run.report.champion is None
    assert FOREIGN[kind][1] in run.report.foreign_champion.reason
    assert run.reason.startswith("The champion (version 1) is foreign: this platform did not register it")
    (shown,) = run.result.asset_materializations_for_node("evaluation_report")
    assert "Version 1 in Production is foreign" in shown.metadata["metrics"].value


@pytest.mark.parametrize("rule", ["compare", "refuse"])
def test_a_foreign_champion_holds_the_candidate_if_it_must_be_compared_or_kept(platform: Platform, rule: str):
    run = first_run(platform, "labels", foreign_champion=rule)
    assert run.outcome == "held"
    assert run.result.success
    assert platform.tags(run.result)["nhm/held_by"] == "not_worse_than_production"
    assert run.stages == {"1": "Production", "2": "Staging"}
    assert "FOREIGN_CHAMPION=replace" in run.reason
    # The named remedy works, on the same candidate.
    replacing = platform.retrain(only=UP_TO_PROMOTION)
    assert platform.tags(replacing)["nhm/outcome"] == "promoted"


@pytest.fixture(scope="module")
def rows():
    frame = learnable(noise=0)
    return frame[frame["split"] == TEST].reset_index(drop=True)


def scored(versions: Versions, version: str, rows, *, allow_unverified: bool = False) -> ScoredChampion:
    champion = versions.client.get_model_version(MODEL, version)
    return score_champion(versions.client, versions.log, champion, rows, allow_unverified=allow_unverified)


def test_a_version_of_this_platform_is_scored_and_not_foreign(versions: Versions, rows):
    found = scored(versions, versions.add(small_forest()), rows)
    assert found.foreign is None
    assert found.probabilities.shape == (len(rows), 3)


def test_a_foreign_version_of_our_classes_is_scored_if_that_is_allowed(versions: Versions, rows):
    version = versions.add(small_forest(), verified=False)
    refused, allowed = (scored(versions, version, rows, allow_unverified=allowed) for allowed in (False, True))
    assert (refused.probabilities, refused.foreign) == (None, "this platform did not register it")
    assert allowed.foreign == refused.foreign
    assert np.allclose(allowed.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_version_that_cannot_be_read_is_never_scored_even_if_that_is_allowed(versions, rows, kind):
    found = scored(versions, FOREIGN[kind][0](versions), rows, allow_unverified=True)
    assert found.probabilities is None
    assert found.foreign


def test_a_version_of_this_platform_whose_file_was_replaced_is_foreign(versions: Versions, rows):
    version = versions.add(small_forest())
    (versions.files(version) / "model.pkl").write_bytes(b"something else")
    found = scored(versions, version, rows)
    assert found.probabilities is None
    assert "was replaced" in found.foreign


@pytest.mark.parametrize("tag", ["", "soon", "2026-03-08", "2026-03-08T00:00:00"])
def test_the_tags_of_a_foreign_version_break_nothing(versions: Versions, tag: str):
    version = versions.add(small_forest(), verified=False, tags={WINDOW_END_TAG: tag} if tag else {})
    end = window_end(versions.client.get_model_version(MODEL, version))
    assert end is None or end.tzinfo is not None
