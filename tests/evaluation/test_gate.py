"""Each rule of the gate: passing, failing and at its boundary."""

from dataclasses import replace
from typing import Any

import pytest

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.fold_records import Pooled, Reference
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.records import ForeignChampion
from nhm_assets.domain.shadow_records import Shadow
from nhm_assets.domain.specialists import Specialist
from nhm_assets.evaluation.gate import DESCRIPTIONS, GateRules, failed_gate, judge
from nhm_assets.settings import Settings
from tests.support.configured import configured
from tests.support.reports import RULES, champion, metrics, new_rows, report

BESIDE_THE_GATE = ["calibrated", "plausible", "serving_on_line", "agrees_in_shadow"]


def judged(made: Any, **rules: Any) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in judge(made, GateRules(**(vars(RULES) | rules)))}


def failed(made: Any, **rules: Any) -> list[str]:
    return [name for name, verdict in judged(made, **rules).items() if not verdict.passed]


def test_a_good_report_passes_every_rule():
    assert failed(report()) == []


def test_there_is_one_verdict_per_rule_in_the_order_of_the_descriptions():
    assert [verdict.check for verdict in judge(report(), RULES)] == list(DESCRIPTIONS)
    assert list(DESCRIPTIONS) == [*GATE_CHECKS, *BESIDE_THE_GATE]


@pytest.mark.parametrize(
    ("metric", "threshold"), [("precision", "precision_threshold"), ("recall", "recall_threshold")]
)
@pytest.mark.parametrize(("value", "passes"), [(0.81, True), (0.8, True), (0.7999999, False), (0.0, False)])
def test_precision_and_recall_pass_at_their_threshold_and_above(metric, threshold, value, passes):
    made = report(candidate=metrics(**{metric: value}))
    assert failed(made, **{threshold: 0.8}) == ([] if passes else [threshold])


@pytest.mark.parametrize(("value", "passes"), [(0.81, True), (0.8, True), (0.7999999, False)])
def test_f1_passes_at_its_threshold_and_above(value, passes):
    made = report(candidate=metrics(f1=value))
    assert failed(made, f1_threshold=0.8) == ([] if passes else ["f1_threshold"])


def test_without_a_champion_nothing_is_worse_than_production():
    verdict = judged(report(champion=None))["not_worse_than_production"]
    assert verdict.passed
    assert verdict.reason == "There is no champion to compare with."


FOREIGN = ForeignChampion(version="7", reason="it answers labels")


@pytest.mark.parametrize(
    ("rule", "compared", "passes"),
    [
        ("replace", None, True),
        ("replace", 0.99, True),
        ("refuse", None, False),
        ("refuse", 0.1, False),
        ("compare", None, False),
        ("compare", 0.99, False),
        ("compare", 0.1, True),
    ],
)
def test_a_foreign_champion_is_treated_as_the_setting_says(rule, compared, passes):
    scored = champion(compared, version="7") if compared else None
    made = report(foreign_champion=FOREIGN, champion=scored)
    verdict = judged(made, foreign_champion=rule)["not_worse_than_production"]
    assert verdict.passed is passes
    if not (rule == "compare" and compared):
        assert verdict.reason.startswith("The champion (version 7) is foreign: it answers labels. ")


@pytest.mark.parametrize(
    ("f1", "most", "passes"),
    [(0.95, 0.01, True), (0.9, 0.01, True), (0.89, 0.01, True), (0.8899, 0.01, False), (0.9, 0.0, True)],
)
def test_f1_may_be_below_that_of_the_champion_by_the_allowed_regression_and_no_more(f1, most, passes):
    made = report(candidate=metrics(f1=f1), champion=champion(0.9))
    assert failed(made, max_f1_regression=most) == ([] if passes else ["not_worse_than_production"])


def test_without_an_allowed_regression_any_regression_fails():
    made = report(candidate=metrics(f1=0.8999999), champion=champion(0.9))
    assert failed(made, max_f1_regression=0.0) == ["not_worse_than_production"]


def test_exactly_the_allowed_regression_passes_whatever_the_rounding():
    """0.87 - 0.01 and the like are not exact in binary."""
    refused = [
        thousandths
        for thousandths in range(740, 1001)
        if failed(report(candidate=metrics(f1=(thousandths - 10) / 1000), champion=champion(thousandths / 1000)))
        == ["not_worse_than_production"]
    ]
    assert refused == []


def test_the_reason_names_the_champion():
    verdict = judged(report(champion=champion(0.95, version="7")))["not_worse_than_production"]
    assert "version 7" in verdict.reason
    assert verdict.figures == {"f1": 0.87, "production_f1": 0.95, "MAX_F1_REGRESSION": 0.01}


@pytest.mark.parametrize("dummy", ["most_frequent", "stratified"])
@pytest.mark.parametrize(("f1", "passes"), [(0.861, True), (0.86, False), (0.85, False)])
def test_f1_must_be_above_that_of_both_dummy_classifiers(dummy, f1, passes):
    made = report(candidate=metrics(f1=f1), baseline_f1={"most_frequent": 0.1, "stratified": 0.1} | {dummy: 0.86})
    assert failed(made) == ([] if passes else ["beats_baseline"])


@pytest.mark.parametrize(
    ("rows", "approvals", "passes"),
    [
        (100, 50, True),
        (99, 50, False),
        (100, 20, True),
        (100, 19, False),
        (100, 80, True),
        (100, 81, False),
        (0, 0, False),
    ],
)
def test_100_test_rows_with_20_of_each_kind_are_enough_evidence(rows, approvals, passes):
    made = report(test_rows=rows, test_approvals=approvals)
    assert failed(made) == ([] if passes else ["enough_evidence"])


def test_the_required_number_of_test_rows_is_a_setting():
    assert failed(report(test_rows=100), min_test_rows=101) == ["enough_evidence"]


@pytest.mark.parametrize(
    ("synthetic", "in_production", "passes"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_only_in_production_must_test_rows_be_real(synthetic, in_production, passes):
    made = report(synthetic_test=synthetic, data_source="synthetic" if synthetic else "real")
    assert failed(made, in_production=in_production) == ([] if passes else ["data_source_allowed"])


def test_training_rows_may_be_synthetic_in_production():
    assert failed(report(data_source="hybrid"), in_production=True) == []


@pytest.mark.parametrize(("brier", "passes"), [(0.659, True), (0.66, False), (0.7, False)])
def test_calibration_must_be_better_than_always_predicting_the_class_frequencies(brier, passes):
    assert failed(report(candidate=metrics(brier=brier))) == ([] if passes else ["calibrated"])


@pytest.mark.parametrize(("f1", "passes"), [(0.99, True), (0.995, True), (0.9951, False), (1.0, False)])
def test_an_f1_above_0_995_is_suspicious(f1, passes):
    assert failed(report(candidate=metrics(f1=f1))) == ([] if passes else ["plausible"])


def test_checks_outside_the_gate_only_warn():
    sunk = new_rows(pooled=Pooled(tp=20, fp=80, fn=80, tn=20))
    shadow = Shadow(champion="1", since=None, plans=50, agreement=0.1)
    made = report(candidate=metrics(brier=1.0, f1=1.0), champion=champion(0.8), new_rows=sunk, shadow=shadow)
    verdicts = judge(made, RULES)
    assert [verdict.check for verdict in verdicts if not verdict.passed] == BESIDE_THE_GATE
    assert failed_gate(verdicts) == []
    assert [verdict.check for verdict in verdicts if verdict.warns_only] == BESIDE_THE_GATE


def test_every_failed_gate_check_is_named():
    hopeless = report(
        candidate=metrics(precision=0.1, recall=0.1, f1=0.1, brier=1.0),
        champion=champion(0.9),
        test_rows=10,
        synthetic_test=True,
        pooled=Pooled(tp=10, fp=90, fn=90, tn=10),
        difference=-0.8,
        reference=Reference(weeks=8, version="1", rows=400, difference=-0.5),
    )
    found = judge(hopeless, GateRules(**(vars(RULES) | {"in_production": True})))
    assert failed_gate(found) == list(GATE_CHECKS)


def test_every_verdict_has_a_reason_and_figures():
    for verdict in judge(report(champion=champion(0.8)), RULES):
        assert verdict.reason
        assert verdict.figures


@pytest.mark.parametrize(
    ("check", "changes", "reason"),
    [
        ("precision_threshold", {"candidate": metrics(precision=0.91)}, "Precision 0.910 reaches the required 0.750."),
        (
            "precision_threshold",
            {"candidate": metrics(precision=0.701)},
            "Precision 0.701 is below the required 0.750 (by 0.049).",
        ),
        (
            "f1_threshold",
            {"candidate": metrics(f1=0.7199999)},
            "F1 0.720 is below the required 0.720 (by less than 0.001).",
        ),
        (
            "not_worse_than_production",
            {"champion": champion(0.87)},
            "F1 0.870 is not below the 0.870 of the champion (version 1) on the same rows.",
        ),
        (
            "not_worse_than_production",
            {"champion": champion(0.875)},
            "F1 0.870 is 0.005 below the 0.875 of the champion (version 1) on the same rows, within the allowed 0.010.",
        ),
        (
            "not_worse_than_production",
            {"champion": champion(0.9)},
            (
                "F1 0.870 is 0.030 below the 0.900 of the champion (version 1) on the same rows,"
                " more than the allowed 0.010."
            ),
        ),
        ("beats_baseline", {}, "F1 0.870 is above the 0.500 of the dummy classifier most_frequent."),
        (
            "beats_baseline",
            {"candidate": metrics(f1=0.5)},
            "F1 0.500 is not above the 0.500 of the dummy classifier most_frequent.",
        ),
        (
            "enough_evidence",
            {},
            "200 test rows (70 approve, 130 not) are enough: at least 100 are required, and at least 20 of each kind.",
        ),
        (
            "enough_evidence",
            {"test_approvals": 3},
            "200 test rows (3 approve, 197 not) are too few: at least 100 are required, and at least 20 of each kind.",
        ),
        ("data_source_allowed", {}, "The test rows are real feedback, and people gave all of it."),
        (
            "data_source_allowed",
            {"synthetic_test": True},
            "Allowed outside production (ENVIRONMENT): the test rows are synthetic.",
        ),
        (
            "calibrated",
            {},
            "Brier score 0.300 is better than 0.660, the score of always predicting the class frequencies.",
        ),
        ("plausible", {}, "F1 0.870 is plausible (suspicious above 0.995)."),
        ("plausible", {"candidate": metrics(f1=1.0)}, "F1 1.000 is suspicious (suspicious above 0.995)."),
    ],
)
def test_a_reason_gives_the_verdict_first(check, changes, reason):
    assert judged(report(**changes))[check].reason == reason


def test_synthetic_test_rows_in_production_are_named():
    verdict = judged(report(synthetic_test=True), in_production=True)["data_source_allowed"]
    assert verdict.reason == "Not allowed in production (ENVIRONMENT): the test rows are synthetic."


def test_rows_by_scripts_are_allowed_outside_production_only():
    made = report(scripted_rows=3)
    assert failed(made) == []
    assert failed(made, in_production=True) == ["data_source_allowed"]
    reason = judged(made, in_production=True)["data_source_allowed"].reason
    assert reason == "Not allowed in production (ENVIRONMENT): scripts made the feedback of 3 rows."


def test_rows_of_a_language_model_are_allowed_outside_production_or_by_a_setting():
    made = report(llm_rows=60, data_source="hybrid")
    assert failed(made) == []
    assert failed(made, in_production=True) == ["data_source_allowed"]
    reason = judged(made, in_production=True)["data_source_allowed"].reason
    assert reason == "Not allowed in production (ENVIRONMENT): a language model made 60 rows (ALLOW_LLM_DATA)."
    allowed = judged(made, in_production=True, allow_llm_data=True)["data_source_allowed"]
    assert allowed.passed
    assert allowed.reason.endswith("A language model made 60 train rows, which ALLOW_LLM_DATA allows.")


def test_the_rules_come_from_the_settings():
    values: dict[str, Any] = {
        "precision_threshold": 0.1,
        "recall_threshold": 0.2,
        "f1_threshold": 0.3,
        "max_f1_regression": 0.4,
        "min_test_rows": 5,
        "foreign_champion": "refuse",
        "gate_folds": 1,
        "gate_confidence": 0.6,
        "gate_midweek_confidence": 0.7,
        "reference_weeks": 4,
        "max_f1_regression_to_reference": 0.5,
        "shadow_agreement": 0.6,
        "allow_llm_data": True,
    }
    expected = GateRules(**values, in_production=True)
    assert GateRules.of(Settings(**values, environment="production"), "technical") == expected
    assert GateRules.of(Settings(), "technical") == RULES


def test_a_specialist_is_judged_by_its_own_thresholds_and_the_others_by_the_settings():
    with configured(Specialist("data-quality", thresholds={"precision": 0.9, "f1": 0.8}), Specialist("technical")):
        own, others = GateRules.of(Settings(), "data-quality"), GateRules.of(Settings(), "technical")
    assert others == RULES
    assert own == replace(RULES, precision_threshold=0.9, f1_threshold=0.8)
