"""The third verdict: `below` needs one sure reason, everything else is `uncertain`."""

from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import beta

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.fold_records import Pooled, Reference
from nhm_assets.domain.records import ForeignChampion
from nhm_assets.evaluation.gate import judge
from nhm_assets.evaluation.held_as import Estimates, estimates_of, held_as, third_verdict
from tests.support.reports import RULES, champion, metrics, report

ESTIMATES: dict[str, Any] = {
    "posteriors": {"precision": 0.31, "recall": 0.93},
    "thresholds": {"precision": 0.75, "recall": 0.7},
    "difference": -0.004,
    "standard_error": 0.011,
    "max_regression": 0.01,
}
"""An uncertain candidate."""
MISSED = Verdict("thresholds_on_folds", passed=False, reason="")


def held(*failed: Verdict, **changes: Any) -> tuple[str, str]:
    found = third_verdict(Estimates(**(ESTIMATES | changes)), failed or [MISSED])
    return str(found.held_as), found.sentence


def test_a_candidate_that_may_be_on_either_side_is_uncertain_and_the_sentence_has_the_numbers():
    held_as, sentence = held()
    assert held_as == "uncertain"
    assert sentence == (
        "the rows allow both; next week decides (the probability that precision reaches 0.750 is 0.310;"
        " the probability that recall reaches 0.700 is 0.930; F1 is 0.004 below the champion's (standard error 0.011))"
    )


@pytest.mark.parametrize("metric", ["precision", "recall"])
@pytest.mark.parametrize(("posterior", "held_as"), [(0.0499, "below"), (0.05, "uncertain"), (0.0, "below")])
def test_a_posterior_below_5_percent_is_below(metric, posterior, held_as):
    assert held(posteriors=ESTIMATES["posteriors"] | {metric: posterior})[0] == held_as


def test_the_sentence_names_the_rate_that_is_surely_below():
    sentence = held(posteriors={"precision": 0.012, "recall": 0.93})[1]
    assert sentence == "the probability that precision reaches 0.750 is 0.012"


@pytest.mark.parametrize(
    ("difference", "error", "held_as"),
    [
        (-0.0263, 0.01, "uncertain"),
        (-0.0266, 0.01, "below"),
        (-0.01, 0.0, "uncertain"),
        (-0.0101, 0.0, "below"),
        (0.1, 0.0, "uncertain"),
        (-0.5, 0.4, "uncertain"),
    ],
)
def test_a_difference_of_more_than_1_645_standard_errors_beyond_the_allowed_is_below(difference, error, held_as):
    assert held(difference=difference, standard_error=error)[0] == held_as


def test_the_sentence_names_the_difference_that_is_surely_too_large():
    assert held(difference=-0.06, standard_error=0.012)[1] == (
        "F1 is 0.060 below the champion's (standard error 0.012), clearly more than the allowed 0.010"
    )


def test_without_a_comparison_only_the_rates_count():
    assert held(difference=None)[1].endswith("recall reaches 0.700 is 0.930)")


def test_a_failed_check_that_is_no_estimate_is_below():
    counted = Verdict("enough_evidence", passed=False, reason="", is_estimate=False)
    assert held(MISSED, counted) == ("below", "enough_evidence failed, which is not an estimate")


def test_all_sure_reasons_are_named():
    counted = Verdict("data_source_allowed", passed=False, reason="", is_estimate=False)
    sentence = held(counted, posteriors={"recall": 0.001}, difference=-0.2)[1]
    assert sentence.count(";") == 2
    assert "data_source_allowed" in sentence


CHECKS_THAT_ARE_NO_ESTIMATES = {"enough_evidence", "data_source_allowed"}


def test_the_gate_knows_which_of_its_checks_are_no_estimates():
    exact = {verdict.check for verdict in judge(report(), RULES) if not verdict.is_estimate}
    assert exact == CHECKS_THAT_ARE_NO_ESTIMATES


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"candidate": metrics(precision=0.74)}, "uncertain"),
        ({"pooled": Pooled(tp=170, fp=60, fn=30, tn=300)}, "uncertain"),
        ({"pooled": Pooled(tp=170, fp=90, fn=30, tn=300)}, "below"),
        ({"pooled": Pooled(tp=170, fp=25, fn=73, tn=300)}, "uncertain"),
        ({"pooled": Pooled(tp=170, fp=25, fn=110, tn=300)}, "below"),
        ({"champion": champion(0.87), "difference": -0.02, "standard_error": 0.01}, "uncertain"),
        ({"champion": champion(0.87), "difference": -0.03, "standard_error": 0.01}, "below"),
        ({"test_rows": 99}, "below"),
        ({"synthetic_test": True}, "below"),
        ({"foreign_champion": ForeignChampion(version="1", reason="it answers labels")}, "below"),
        ({"reference": Reference(weeks=8, version="1", rows=400, difference=-0.021)}, "uncertain"),
        ({"candidate": metrics(precision=0.74), "test_rows": 99}, "below"),
    ],
)
def test_a_report_is_held_as_its_rows_say(changes, expected):
    rules = replace(RULES, in_production=True, foreign_champion="refuse")
    fields = {"champion": None} | changes
    if fields["champion"]:
        fields |= {"fair_rows": 400, "compared_on": "new"}
    found = held_as(report(**fields), rules)
    assert (found and str(found)) == expected


@pytest.mark.parametrize(("rule", "expected"), [("replace", "uncertain"), ("compare", "below")])
def test_a_foreign_champion_counts_only_if_the_candidate_is_compared_with_it(rule: str, expected: str):
    """ALLOW_UNVERIFIED_CHAMPION: it is scored, whatever FOREIGN_CHAMPION says."""
    foreign = ForeignChampion(version="1", reason="this platform did not register it")
    compared = {"champion": champion(0.99), "fair_rows": 200, "difference": -0.2, "standard_error": 0.01}
    made = report(candidate=metrics(precision=0.74), foreign_champion=foreign, compared_on="test", **compared)
    assert held_as(made, replace(RULES, foreign_champion=rule)) == expected


def test_a_posterior_is_that_of_scipys_beta_distribution():
    made = report(candidate=metrics(precision=0.74), pooled=Pooled(tp=170, fp=60, fn=70, tn=300))
    found = estimates_of(made, RULES)
    assert found.posteriors["precision"] == pytest.approx(beta(170.5, 60.5).sf(0.75), abs=1e-12)
    assert found.posteriors["recall"] == pytest.approx(beta(170.5, 70.5).sf(0.70), abs=1e-12)


def test_without_folds_the_posteriors_are_those_of_the_test_rows():
    """The first checks had failed, so no folds were fitted; 60 + 10 test rows are called approve, 60 + 10 are."""
    made = report(candidate=metrics(precision=0.74), folds=None, pooled=None, reference=None)
    found = estimates_of(made, RULES)
    assert found.posteriors["precision"] == pytest.approx(beta(60.5, 10.5).sf(0.75), abs=1e-12)
    assert found.posteriors["recall"] == pytest.approx(beta(60.5, 10.5).sf(0.70), abs=1e-12)
