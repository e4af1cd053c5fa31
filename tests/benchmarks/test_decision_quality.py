"""docs/decision-quality.md shows the recorded results of the benchmark, and says nothing else about them."""

import json
import re

import pytest

from benchmarks.gate import DOCUMENT, PICTURES, RESULTS, SCENARIOS, targets
from benchmarks.gate_pictures import draw, source_of
from benchmarks.gate_scenarios import FIRST, OURS, SEED, year
from benchmarks.gate_tables import blocks, with_tables

TEXT = DOCUMENT.read_text()
RESULT = json.loads(RESULTS.read_text())
GATES = RESULT["year"]["gates"]
CONFIDENCE = {one["confidence"]: one for one in RESULT["confidence"]}
PLANS = {(one["plans"], one["gate"]): one for one in RESULT["recurring_plans"]}
DECLINES = [one[OURS][0] for one in RESULT["ratchet"]]


def test_the_tables_are_made_from_the_recorded_results():
    assert with_tables(TEXT, RESULT) == TEXT


def test_every_block_is_in_the_document():
    assert set(re.findall(r"<!-- results: (\w+) -->", TEXT)) == set(blocks(RESULT))


def test_an_empty_block_is_filled_and_what_follows_is_kept():
    text = "before\n\n<!-- results: served -->\n\nafter\n"
    filled = with_tables(text, RESULT)
    assert filled.startswith("before\n\n<!-- results: served -->\n| Version in Production")
    assert filled.endswith(" |\n\nafter\n")
    assert with_tables(filled, RESULT) == filled


def test_another_result_is_noticed():
    other = json.loads(RESULTS.read_text())
    other["year"]["gates"][OURS]["mild"][0] += 0.1
    assert with_tables(TEXT, other) != TEXT


def test_the_pictures_were_drawn_from_the_recorded_results():
    shown = re.findall(r"\]\(decision-quality/([\w-]+\.svg)\)", TEXT)
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())
    assert [name for name in shown if source_of(RESULT) not in (PICTURES / name).read_text()] == []


def test_pictures_name_their_results(tmp_path):
    draw(RESULT, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in PICTURES.iterdir()}
    assert all(source_of(RESULT) in path.read_text() for path in tmp_path.iterdir())


def test_the_recorded_results_reach_every_target():
    assert [figure.name for figure in targets(RESULT) if not figure.reached] == []


@pytest.mark.parametrize(
    ("gate", "figure", "value"),
    [(OURS, "mild", 1.01), (OURS, "serious", 0.031), (OURS, "wrong_holds", 6.51), (FIRST, "mild", 2.6)],
)
def test_a_missed_target_is_noticed(gate: str, figure: str, value: float):
    missed = json.loads(RESULTS.read_text())
    missed["year"]["gates"][gate][figure][0] = value
    assert [figure.reached for figure in targets(missed)].count(False) == 1


@pytest.mark.parametrize("decide", [{"differ": 1}, {"differ": 0}])
def test_a_decision_that_differs_from_its_twin_s_is_noticed(decide: dict[str, int]):
    other = json.loads(RESULTS.read_text())
    other["year"]["twin"] |= decide
    assert all(figure.reached for figure in targets(other)) is (decide["differ"] == 0)


def test_every_scenario_is_recorded():
    assert set(RESULT) == {"seed", *SCENARIOS}
    assert RESULT["seed"] == SEED


CLAIMS = {
    "Five specialists see one in more than ten years": 1 / (5 * GATES[OURS]["serious"][0]) > 10,
    "none of the others has fewer of both": not any(
        all(found[kind][0] < GATES[OURS][kind][0] for kind in ("mild", "wrong_holds")) for found in GATES.values()
    ),
    "from which most bad promotions come": GATES[OURS]["below_champion"][0] > GATES[OURS]["mild"][0] / 2,
    "in about three of ten tries": all(
        0.25 < 1 - one[FIRST] < 0.35
        for one in RESULT["test_sizes"]["compared"]
        if one["advantage"] == 0 and one["rows"] in (150, 225)
    ),
    "the targets for serious promotions and wrong holds are no longer reached": all(
        PLANS["two rows of each plan", OURS][kind][0] > most for kind, most in (("serious", 0.03), ("wrong_holds", 6.5))
    ),
    "This one stays below 0.04": max(DECLINES) < 0.04,
    "The slide shrinks again where candidates decline fast": DECLINES[-1] < max(DECLINES),
    "Expect one or two more wrong holds per year": all(
        0.5 < CONFIDENCE[value]["wrong_holds"][0] - CONFIDENCE[0.5]["wrong_holds"][0] < 2.5 for value in (0.8, 0.9)
    ),
}
"""What the text says about the results in words."""


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_the_text_claims_is_in_the_document_and_in_the_results(claim: str):
    assert claim in " ".join(TEXT.split())
    assert CLAIMS[claim]


@pytest.mark.slow
def test_the_recorded_year_is_the_one_that_this_gate_makes():
    """A change of the gate that changes these figures needs `python -m benchmarks.gate --write`."""
    assert year() == RESULT["year"]
