"""What `make bench` measures has one form, on the terminal and in benchmarks/results.json."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import results
from benchmarks.__main__ import PARTS, run_all
from benchmarks.blocks import names_of, with_blocks
from benchmarks.measuring import rounds
from benchmarks.results import (
    DOCUMENT,
    OF_SCALE,
    RESULTS,
    SIMULATED,
    Measured,
    as_text,
    at_least,
    at_most,
    blocks,
    blocks_of_scale,
    measured,
    ratio,
    report,
)

TEXT = DOCUMENT.read_text()
RECORDED = json.loads(RESULTS.read_text())


@pytest.fixture(autouse=True)
def results_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    return tmp_path / "results.json"


def part(title: str, run: Callable[[], list[Measured]]) -> Any:
    return SimpleNamespace(TITLE=title, run=run)


@pytest.mark.parametrize(("document", "made"), [(DOCUMENT, blocks), (OF_SCALE, blocks_of_scale)])
def test_the_documents_show_the_recorded_results(document: Path, made: Callable[..., dict[str, list[str]]]):
    """After a measurement, `python -m benchmarks.results` writes them."""
    text = document.read_text()
    assert with_blocks(text, made(RECORDED)) == text
    assert names_of(text) == set(made(RECORDED))


def test_another_result_is_noticed():
    other = json.loads(RESULTS.read_text())
    shown = next(one for one in other["Retraining five specialists"]["figures"] if one["target"])
    shown["median"] += 0.1
    assert with_blocks(TEXT, blocks(other)) != TEXT


def test_in_the_recorded_simulation_nothing_was_lost_or_doubled():
    assert [one["name"] for one in RECORDED[SIMULATED]["figures"] if one["reached"] is False] == []


def test_the_document_names_every_part():
    named = re.findall(r"^    python -m benchmarks\.(\w+)$", TEXT, re.MULTILINE)
    assert named == [one.__name__.rpartition(".")[2] for one in PARTS]
    assert {one.TITLE for one in PARTS} <= RECORDED.keys()


def test_a_figure_is_its_median_and_says_how_far_the_rounds_are_apart():
    assert at_most("a : b", [1.2, 1.0, 1.9], 1.3).recorded() == {
        "name": "a : b",
        "median": 1.2,
        "spread": [1.0, 1.9],
        "unit": "x",
        "digits": 2,
        "ratio": True,
        "rounds": 3,
        "target": "at most 1.3 x",
        "reached": True,
    }


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (at_most("a", [1.0, 1.4, 1.5], 1.3), False),
        (at_most("a", 1.3, 1.3), True),
        (at_least("a", [4.0, 3.9, 3.8], 4), False),
        (at_least("a", 4, 4), True),
        (measured("a", 4), None),
        (ratio("a", [1, 2]), None),
    ],
)
def test_the_median_decides_whether_a_target_is_reached(figure: Measured, *, reached: bool | None):
    assert figure.reached is reached


def test_every_part_says_when_where_and_with_which_versions(results_json: Path):
    report("One", [measured("a", 1.0)])
    (found,) = json.loads(results_json.read_text()).values()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert found["machine"].keys() == {"cores", "load"}
    assert found["versions"].keys() >= {"python", "mongod", "dagster", "mlflow", "scikit-learn"}


def test_a_part_replaces_its_own_figures_alone(results_json: Path, capsys: pytest.CaptureFixture[str]):
    report("One", [measured("a", [1.0, 2.0, 3.0])])
    report("Other", [measured("b", 5.0)])
    report("One", [at_most("c", [0.5], 0.4)])
    kept = json.loads(results_json.read_text())
    names = {title: [one["name"] for one in found["figures"]] for title, found in kept.items()}
    assert names == {"One": ["c"], "Other": ["b"]}
    assert as_text(kept) == results_json.read_text()
    assert "MISSED" in capsys.readouterr().out


def test_a_part_that_breaks_keeps_no_other_from_being_measured(results_json: Path):
    def breaks() -> list[Measured]:
        raise RuntimeError("no mongod")

    wrong = run_all((part("A", breaks), part("B", lambda: [at_most("b", 2.0, 1.0)]), part("C", list)))
    assert wrong == ["A: broke", "B: b: missed"]
    assert json.loads(results_json.read_text()).keys() == {"B", "C"}


def test_the_table_shows_the_figures_that_have_a_target(results_json: Path):
    report("One", [measured("a", 1.0), at_most("b", [0.5, 0.3, 0.7], 0.4), at_least("c", 1234.5, 4)])
    table = blocks(json.loads(results_json.read_text()))["table"]
    assert table[2:] == [
        "| **One** | | | | |",
        "| b | 0.50 x (0.30 to 0.70) | 3 | at most 0.4 x | missed |",
        "| c | 1,234.00 x | 1 | at least 4 x | reached |",
    ]


def test_rounds_can_be_reduced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BENCH_ROUNDS", raising=False)
    assert rounds(5) == 5
    monkeypatch.setenv("BENCH_ROUNDS", "1")
    assert rounds(5) == 1
