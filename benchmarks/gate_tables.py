"""The tables and the sentences with figures in docs/decision-quality.md, made from results-gate.json."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.blocks import with_blocks
from benchmarks.gate_scenarios import FIRST, OURS, RATCHET_DECLINE, WITHOUT_MIDWEEK, WITHOUT_REFERENCE

Results = dict[str, Any]
F1_PER_ABILITY = 0.35
_SHOWN_SIZES = (150, 300, 600)
_SHOWN_DISTANCES = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)


def with_tables(text: str, results: Results) -> str:
    """The document with the figures of these results."""
    return with_blocks(text, blocks(results))


def blocks(results: Results) -> dict[str, list[str]]:
    """The lines of each block, by name."""
    year = results["year"]
    return {
        "summary": _summary(results),
        "gates": _gates(year["gates"]),
        "served": _served(year),
        "poisoned_week": _poisoned(year["poisoned_week"]),
        "mid_week": _mid_week(results["mid_week"]),
        "ratchet": _ratchet(results["ratchet"]),
        "recurring_plans": _plans(results["recurring_plans"]),
        "test_sizes": _sizes(results["test_sizes"]["alone"]),
        "confidence": _confidence(results["confidence"]),
    }


def _summary(results: Results) -> list[str]:
    first, ours = (results["year"]["gates"][name] for name in (FIRST, OURS))
    slides = next(one for one in results["ratchet"] if one["decline"] == RATCHET_DECLINE)
    return _table(
        ("Per specialist and year", "first gate (GATE_FOLDS=0)", "this gate"),
        [
            ("bad promotions", _pm(first["mild"]), _pm(ours["mild"])),
            ("serious ones among them", _pm(first["serious"], 3), _pm(ours["serious"], 3)),
            ("wrong holds", _pm(first["wrong_holds"]), _pm(ours["wrong_holds"])),
            ("promotions", _pm(first["promoted"], 1), _pm(ours["promoted"], 1)),
            ("slide of F1 in a year of decline", _pm(slides[FIRST], 3), _pm(slides[OURS], 3)),
        ],
    )


def _gates(gates: Results) -> list[str]:
    header = ("Gate", "bad promotions", "serious", "wrong holds", "promotions", "served F1")
    return _table(header, [(name, *_counts(found), _pm(found["served_f1"], 3)) for name, found in gates.items()])


def _counts(found: Results) -> tuple[str, ...]:
    return (_pm(found["mild"]), _pm(found["serious"], 3), _pm(found["wrong_holds"]), _pm(found["promoted"], 1))


def _served(year: Results) -> list[str]:
    header = ("Version in Production at the start", FIRST, OURS)
    served = year["served_f1_by_start"]
    return _table(
        header,
        [
            (label, *(_pm(served[name][start], 3) for name in (FIRST, OURS)))
            for label, start in (("as good as the candidates", "good"), ("0.06 of F1 worse", "weak"))
        ],
    )


def _poisoned(gates: Results) -> list[str]:
    header = ("Gate", "promotions", "bad promotions", "serious")
    kinds = ("promoted", "mild", "serious")
    return _table(header, [(name, *(_pm(gates[name][kind], 3) for kind in kinds)) for name in (FIRST, OURS)])


def _mid_week(tries: list[Results]) -> list[str]:
    header = ("A try each", "Gate", "bad promotions", "serious", "promotions", "served F1")
    return _table(
        header,
        [
            (
                f"{one['days']:g} days",
                one["gate"],
                _pm(one["mild"]),
                _pm(one["serious"], 3),
                _pm(one["promoted"], 1),
                _pm(one["served_f1"], 3),
            )
            for one in tries
            if one["days"] < 7 or one["gate"] != WITHOUT_MIDWEEK
        ],
    )


def _ratchet(declines: list[Results]) -> list[str]:
    names = (FIRST, OURS, WITHOUT_REFERENCE)
    rows = [(f"{f1_per_year(one['decline']):.2f}", *(_pm(one[name], 3) for name in names)) for one in declines]
    return _table(("Decline of new candidates per year", *names), rows)


def f1_per_year(decline: float) -> float:
    """What a decline of ability per week takes off F1 in a year, about."""
    return decline * 52 * F1_PER_ABILITY


def _plans(found: list[Results]) -> list[str]:
    header = ("Plans", "Gate", "bad promotions", "serious", "wrong holds", "promotions")
    return _table(header, [(one["plans"], one["gate"], *_counts(one)) for one in found])


def _sizes(found: list[Results]) -> list[str]:
    header = ("Test rows", "Gate", *(f"{distance:+.2f}" for distance in _SHOWN_DISTANCES))
    by_size = {(one["rows"], one["distance"]): one for one in found}
    return _table(
        header,
        [
            (str(rows), gate, *(f"{by_size[rows, distance][gate]:.0%}" for distance in _SHOWN_DISTANCES))
            for rows in _SHOWN_SIZES
            for gate in (FIRST, OURS)
        ],
    )


def _confidence(found: list[Results]) -> list[str]:
    header = ("GATE_CONFIDENCE", "bad promotions", "serious", "wrong holds", "promotions", "served F1")
    return _table(header, [(f"{one['confidence']:g}", *_counts(one), _pm(one["served_f1"], 3)) for one in found])


def _pm(found: Sequence[float], digits: int = 2) -> str:
    return f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
