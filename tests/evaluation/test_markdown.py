"""The Markdown tables of a report."""

from nhm_assets.domain.records import Settling
from nhm_assets.evaluation.markdown import comparison_table, importance_table
from tests.support.reports import champion, metrics, report


def test_candidate_and_champion_are_shown_side_by_side():
    table = comparison_table(report(candidate=metrics(f1=0.8123), champion=champion(0.7012, version="7")))
    assert "| f1 | 0.812 | 0.800 to 0.920 | 0.701 |" in table
    assert "| champion, version 7 |" in table
    assert (
        "Only the candidate tells approve from not approve in 7 rows, only the champion in 4"
        " (McNemar's test: p = 0.549)." in table
    )


def test_without_a_champion_nothing_is_compared():
    table = comparison_table(report(candidate=metrics(f1=0.8123)))
    assert "| f1 | 0.812 | 0.800 to 0.920 | none |" in table
    assert "McNemar" not in table


def test_the_confusion_matrix_names_true_and_predicted_classes():
    table = comparison_table(report())
    assert "| true \\ predicted | reject | approve | review_required |" in table
    assert "| approve | 5 | 60 | 5 |" in table


def test_features_are_listed_by_importance():
    lines = importance_table(report()).splitlines()
    assert lines[2:4] == ["| risk_score | 0.4000 |", "| complexity_score | 0.1000 |"]
    assert len(lines) == 2 + 26


def test_the_report_says_how_sure_it_is_and_what_would_settle_it():
    settling = Settling(plans=420, approve=180, not_approve=240, passes=0.74, below=0.07)
    table = comparison_table(report(flip_rate=0.135, settling=settling))
    assert "Flip rate 0.135: on this share of 200 samples of the plans the gate decides otherwise." in table
    assert "About 420 further reviewed plans (180 opinions approve, 240 not) would settle it" in table
    assert "settle" not in comparison_table(report(flip_rate=0.0))
    assert "Flip rate" not in comparison_table(report())


def test_on_the_line_the_report_says_so():
    nothing = Settling(plans=None, approve=None, not_approve=None, passes=None, below=None)
    assert "More reviewed plans would not settle it" in comparison_table(report(flip_rate=0.5, settling=nothing))
