"""What a check says in the UI: the verdict first, then specialist and week, and whether it decides or only warns."""

import pytest
from dagster import AssetCheckSeverity, AssetKey

from nhm_assets.domain.check_result import Verdict, reason_in
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.partitions import Partition
from nhm_assets.evaluation.gate import DESCRIPTIONS
from nhm_assets.steps.asset_checks import check_results
from tests.support.documents import WEEK

KEY = Partition.parse(WEEK, "technical").key


@pytest.mark.parametrize(
    ("check", "warns_only", "role"),
    [
        ("f1_threshold", False, "decides the promotion: if it fails, the candidate is held"),
        ("thresholds_on_folds", True, "decides the promotion: if it fails, the candidate is held"),
        ("enough_samples", False, "decides whether anything is trained"),
        ("no_leakage", False, "stops the run if it fails"),
        ("calibrated", True, "only warns"),
        ("registry_consistent", False, "reports a fault and decides nothing"),
    ],
)
def test_a_check_says_the_verdict_first_then_whom_it_is_about_and_what_it_decides(check, warns_only, role):
    verdict = Verdict(check, passed=False, reason="F1 0.578 is below.", figures={"f1": 0.578}, warns_only=warns_only)
    (result,) = check_results(AssetKey("asset"), [verdict], KEY, blocking=["no_leakage"])
    assert result.description == f"F1 0.578 is below.\n\ntechnical {WEEK}. This check {role}."
    assert reason_in(result.description) == verdict.reason
    assert result.severity is (AssetCheckSeverity.WARN if warns_only else AssetCheckSeverity.ERROR)


def test_texts_of_earlier_releases_are_reasons_alone():
    assert reason_in("F1 0.578 is below.") == "F1 0.578 is below."
    assert reason_in(None) == ""


def test_the_checks_that_decide_come_first_and_say_so():
    assert tuple(DESCRIPTIONS)[: len(GATE_CHECKS)] == GATE_CHECKS
    assert [name for name, text in DESCRIPTIONS.items() if text.startswith("Gate: ")] == list(GATE_CHECKS)
