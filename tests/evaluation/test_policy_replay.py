"""The policy replay: which decisions would be different, and what would be in Production now."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.evaluation.gate import GateRules, failed_gate, judge
from nhm_assets.evaluation.policy_replay import Move, RecordedReport, Replay, as_json, replay
from nhm_assets.evaluation.replay_request import (
    FLIP_COLUMNS,
    PRODUCTION_COLUMNS,
    flip_rows,
    gate_settings,
    production_rows,
    summary,
    with_changes,
)
from nhm_assets.settings import Settings
from tests.support.documents import NOW, WEEK_END
from tests.support.reports import RULES, champion, metrics, report

LENIENT = replace(RULES, precision_threshold=0.65)
STRICT = replace(RULES, precision_threshold=0.85)
CHANGES = {"PRECISION_THRESHOLD": "0.85"}

_OF_REPORT = ("specialist", "window_end", "folds", "pooled", "schema_version", "test_rows")
NO_FOLDS: dict[str, Any] = {"folds": None, "pooled": None}
"""Of a report whose first checks failed."""


def evaluation(number: int, precision: float, *, after: str | None = None, **changes: Any) -> RecordedReport:
    """Version `number`, evaluated in week `number` against the version `after`; its verdicts are those of the time."""
    end = WEEK_END + timedelta(weeks=number)
    made = report(
        version=str(number),
        week=f"{end - timedelta(weeks=1):%Y-%m-%d}",
        window_end=end,
        candidate=metrics(precision=precision),
        champion=champion(0.8, version=after) if after else None,
    ).model_copy(update={name: changes.pop(name) for name in _OF_REPORT if name in changes})
    failed = tuple(failed_gate(judge(made, RULES)))
    fields: dict[str, Any] = {"failed": failed, "for_promotion": True, "at": NOW + timedelta(weeks=number)}
    return RecordedReport(**({"report": made, "run_id": f"run-{number}"} | fields | changes))


def promoted(recorded: RecordedReport) -> Move:
    made = recorded.report
    return Move(made.specialist, made.version, recorded.at + timedelta(minutes=1), "promotion")


def replayed(
    *reports: RecordedReport, moves: tuple[Move, ...] = (), asked: GateRules = STRICT, **options: Any
) -> Replay:
    promotions = [promoted(one) for one in reports if one.for_promotion and not one.failed]
    every = sorted([*promotions, *moves], key=lambda move: move.at)
    rules = {"today": lambda _: RULES, "asked": lambda _: asked}
    return replay(reports, every, **({**rules, "changes": CHANGES} | options))


def test_a_decision_that_other_settings_change_flips():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.8, after="1"), evaluation(3, 0.7, after="2"))
    (flip,) = result.flips
    assert flip.report.version == "2"
    assert (flip.recorded, flip.today, flip.replayed) == ((), (), ("precision_threshold",))
    assert len(result.decisions) == 3


def test_settings_that_change_nothing_flip_nothing():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.7, after="1"), asked=RULES)
    assert result.flips == []
    assert result.production["technical"].recorded == result.production["technical"].replayed == "1"


def test_a_lower_threshold_lets_a_held_candidate_into_production():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.7, after="1"), asked=LENIENT)
    assert [flip.report.version for flip in result.flips] == ["2"]
    assert (result.production["technical"].recorded, result.production["technical"].replayed) == ("1", "2")


def test_a_candidate_whose_folds_were_not_fitted_is_not_decided_by_lower_thresholds():
    """The first checks pass by now, and what the folds would have said is in no record."""
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.7, after="1", **NO_FOLDS), asked=LENIENT)
    assert (result.flips, [decision.report.version for decision in result.undecided]) == ([], ["2"])
    assert result.production["technical"].replayed == "1"
    assert [row[-2:] for row in flip_rows(result)] == [
        ["held by precision_threshold", "not decided: not in the report"]
    ]
    assert "1 more may be: their first checks pass with these settings" in summary(result)
    assert as_json(result)["decisions"][1]["undecided"]


def test_without_folds_a_candidate_that_the_first_checks_hold_is_decided():
    result = replayed(evaluation(1, 0.6, **NO_FOLDS), asked=LENIENT)
    assert (result.undecided, result.flips) == ([], [])


def test_another_number_of_folds_than_the_recorded_one_is_not_decided():
    result = replayed(evaluation(1, 0.9), asked=replace(RULES, gate_folds=1))
    assert len(result.undecided) == 1
    assert replayed(evaluation(1, 0.9), asked=replace(RULES, gate_folds=0)).undecided == []


def test_another_reference_than_the_recorded_one_is_not_decided_and_none_is():
    assert len(replayed(evaluation(1, 0.9), asked=replace(RULES, reference_weeks=4)).undecided) == 1
    assert replayed(evaluation(1, 0.9), asked=replace(RULES, reference_weeks=0)).undecided == []


def test_a_comparison_on_rows_that_another_min_test_rows_chooses_is_not_decided():
    """On 400 rows that are new to the champion; with 401 the gate wants the test rows alone, which nobody compared."""
    made = evaluation(1, 0.9, after="1", test_rows=500)
    assert replayed(made, asked=replace(RULES, min_test_rows=400)).undecided == []
    assert len(replayed(made, asked=replace(RULES, min_test_rows=401)).undecided) == 1


def test_reports_from_before_the_folds_are_judged_by_the_first_checks():
    result = replayed(evaluation(1, 0.7, schema_version=4, **NO_FOLDS), asked=LENIENT)
    assert (result.undecided, [flip.report.version for flip in result.flips]) == ([], ["1"])


def test_production_stays_with_the_last_version_that_passes():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.8, after="1"), evaluation(3, 0.78, after="2"))
    assert (result.production["technical"].recorded, result.production["technical"].replayed) == ("3", "1")


def test_a_comparison_with_a_champion_that_would_not_have_been_there_is_marked():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.8, after="1"), evaluation(3, 0.9, after="2"))
    assert [decision.elsewhere for decision in result.decisions] == [False, False, True]
    assert "In 1 of the recorded decisions, another version would have been the champion" in summary(result)


def test_what_was_in_production_before_the_first_report_stays_if_nothing_passes():
    result = replayed(evaluation(5, 0.8, after="4"))
    assert result.production["technical"].replayed == "4"


def test_specialists_do_not_mix():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.8, specialist="business"))
    assert result.production["technical"].replayed == "1"
    assert result.production["business"].replayed is None


def test_a_candidate_of_an_older_window_does_not_replace_a_newer_champion():
    older = evaluation(3, 0.9, after="2", window_end=WEEK_END)
    assert replayed(evaluation(2, 0.9), older).production["technical"].replayed == "2"


def test_a_first_champion_keeps_its_window_where_the_replay_begins_later():
    newest, older = evaluation(4, 0.9), evaluation(5, 0.9, after="4", window_end=WEEK_END)
    result = replayed(newest, older, since=older.report.week)
    assert len(result.decisions) == 1
    assert result.production["technical"].replayed == "4"


def test_an_evaluation_alone_promotes_nothing():
    alone = evaluation(2, 0.9, after="1", for_promotion=False)
    assert replayed(evaluation(1, 0.9), alone).production["technical"].replayed == "1"


def test_a_candidate_that_a_person_promoted_later_is_promoted_if_the_gate_lets_it():
    good, weak = (evaluation(2, precision, after="1", for_promotion=False) for precision in (0.9, 0.8))
    assert replayed(evaluation(1, 0.9), good, moves=(promoted(good),)).production["technical"].replayed == "2"
    assert replayed(evaluation(1, 0.9), weak, moves=(promoted(weak),)).production["technical"].replayed == "1"


def test_a_version_that_was_rolled_back_leaves_and_does_not_come_back():
    first, second = evaluation(1, 0.9), evaluation(2, 0.9, after="1")
    back = Move("technical", "1", second.at + timedelta(days=1), "rollback", from_version="2")
    again = replace(second, at=second.at + timedelta(days=2))
    result = replayed(first, second, again, moves=(back,))
    assert result.production["technical"].replayed == "1"
    forgiven = Move("technical", "2", second.at + timedelta(days=3), "rollback", from_version="1")
    result = replayed(first, second, again, moves=(back, forgiven))
    assert result.production["technical"].recorded == "2"


def test_a_rollback_goes_to_the_version_that_it_names_forward_again_and_further_back():
    first, second, third = (evaluation(number, 0.9, after=str(number - 1)) for number in (1, 2, 3))

    def rolled_back(days: int, version: str, left: str) -> Move:
        return Move("technical", version, third.at + timedelta(days=days), "rollback", from_version=left)

    back, forward, further = rolled_back(1, "2", "3"), rolled_back(2, "3", "2"), rolled_back(3, "1", "3")
    for moves in ((back,), (back, forward), (back, forward, further)):
        shown = replayed(first, second, third, moves=moves).production["technical"]
        assert (shown.recorded, shown.replayed) == (moves[-1].version, moves[-1].version)


def test_since_leaves_out_earlier_weeks():
    first, second = evaluation(1, 0.9), evaluation(2, 0.8, after="1")
    result = replayed(first, second, since=second.report.week)
    assert [decision.report.version for decision in result.decisions] == ["2"]
    assert production_rows(result) == [["technical", "2", "1", "0.900", "0.850", "0.870"]]


def test_a_report_that_a_later_run_took_over_is_one_decision():
    first = evaluation(1, 0.8)
    assert len(replayed(first, replace(first, run_id="later", at=first.at + timedelta(days=1))).decisions) == 1


def test_a_decision_that_was_never_recorded_is_that_of_todays_settings():
    (decision,) = replayed(evaluation(1, 0.8, failed=None)).decisions
    assert (decision.recorded, decision.flips) == ((), True)


def test_a_gate_that_has_changed_since_is_told_from_the_settings():
    """It was held then; today's settings let it pass, and so do the other ones."""
    result = replayed(evaluation(1, 0.9, failed=("f1_threshold",)))
    (flip,) = result.flips
    assert flip.flips_today
    assert "1 of these are different with today's settings too" in summary(result)


def test_the_result_as_tables_and_text():
    result = replayed(evaluation(1, 0.9), evaluation(2, 0.8, after="1"), unreadable=2)
    (row,) = flip_rows(result)
    assert dict(zip(FLIP_COLUMNS, row, strict=True)) == {
        "specialist": "technical",
        "week": "2026-03-15",
        "version": "2",
        "prec.": "0.800",
        "recall": "0.850",
        "F1": "0.870",
        "champion F1": "0.800 (version 1)",
        "then": "passes",
        "replayed": "held by precision_threshold",
    }
    (row,) = production_rows(result)
    assert dict(zip(PRODUCTION_COLUMNS, row, strict=True)) == {
        "specialist": "technical",
        "in Production": "2",
        "would be": "1",
        "prec.": "0.900",
        "recall": "0.850",
        "F1": "0.870",
    }
    said = summary(result)
    assert said.startswith("With PRECISION_THRESHOLD=0.85, 1 of 2 recorded decisions would be different.")
    assert "cannot read 2 more reports" in said
    assert said.endswith("Nothing was moved.")


def test_the_result_as_json():
    content = as_json(replayed(evaluation(1, 0.9), evaluation(2, 0.8, after="1")))
    assert content["settings"] == CHANGES
    assert content["reports"] == 2
    assert content["production"] == {"technical": {"recorded": "2", "replayed": "1"}}
    (flip,) = content["flips"]
    assert flip["metrics"]["precision"] == 0.8
    assert flip["champion"]["version"] == "1"
    assert (flip["recorded_held_by"], flip["held_by"]) == ([], ["precision_threshold"])


def test_without_reports_there_is_nothing_to_replay():
    assert summary(replayed()) == "No evaluation report is recorded, so there is nothing to replay."


def test_the_settings_of_the_gate_can_be_replayed():
    assert {"PRECISION_THRESHOLD", "MAX_F1_REGRESSION", "MIN_TEST_ROWS", "ENVIRONMENT", "FOREIGN_CHAMPION"} <= set(
        gate_settings()
    )
    changed = with_changes(Settings(), {"PRECISION_THRESHOLD": "0.8", "ENVIRONMENT": "production"})
    rules = GateRules.of(changed, "technical")
    assert (rules.precision_threshold, rules.in_production) == (0.8, True)
    assert rules.recall_threshold == Settings().recall_threshold


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "a replay needs at least one setting"),
        ({"PRECISION_TRESHOLD": "0.8"}, r"no setting PRECISION_TRESHOLD\. Did you mean PRECISION_THRESHOLD\?"),
        ({"COLOUR": "blue"}, r"no setting COLOUR\. Settings of the gate: "),
        ({"SHADOW_AGREEMENT": "0.5"}, "SHADOW_AGREEMENT is no setting of the gate"),
        ({"KEEP_VERSIONS": "3"}, "KEEP_VERSIONS is no setting of the gate, so a replay cannot show"),
        ({"PRECISION_THRESHOLD": "1.5"}, "invalid setting: PRECISION_THRESHOLD: must be at most 1, but is '1.5'"),
        ({"PRECISION_THRESHOLD": "high"}, "invalid setting: PRECISION_THRESHOLD: "),
    ],
)
def test_an_unusable_setting_is_refused_with_the_reason(changes, reason):
    with pytest.raises(UsageError, match=reason):
        with_changes(Settings(), changes)
