"""The questions that `benchmarks/gate.py` asks. Each answer is plain data, as it is stored in results-gate.json."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gate_evidence import Question
from benchmarks.gate_history import Estimate, Mistakes, decide, estimate, mistakes, slide
from benchmarks.gate_judge import JudgeGate
from benchmarks.gate_rules import ALTERNATIVES, FIRST_RULES, RULES, FirstGate, FoldGate
from benchmarks.gate_world import Recipe, World

SEED = 20260104
FIRST, OURS = "first gate", "this gate"
WITHOUT_MIDWEEK = f"{OURS}, GATE_MIDWEEK_CONFIDENCE=0.5"
WITHOUT_REFERENCE = f"{OURS}, REFERENCE_WEEKS=0"
YEAR = Recipe()

Answer = dict[str, Any]


def products() -> dict[str, FirstGate]:
    """The product's `judge` with the settings of the first gate, and with the default settings."""
    return {FIRST: JudgeGate(FIRST_RULES), OURS: JudgeGate(RULES)}


def rounded(value: Estimate | float) -> Any:
    """A figure as it is stored; an estimate as mean and standard error."""
    return [round(part, 4) for part in value] if isinstance(value, tuple) else round(float(value), 4)


def year(recipe: Recipe = YEAR) -> Answer:
    """All gates in the same year; how often a twin of the product's rules decides otherwise; the poisoned week."""
    world = World(recipe, SEED)
    twins = {f"{FIRST}, twin": FirstGate(), f"{OURS}, twin": FoldGate()}
    made = {name: make() for name, make in ALTERNATIVES.items()}
    histories = decide(world, products() | made | twins)
    differ = sum(int((histories[name].promoted != histories[f"{name}, twin"].promoted).sum()) for name in (FIRST, OURS))
    found = {name: mistakes(world, history) for name, history in histories.items() if name not in twins}
    return {
        "gates": {name: _mistakes_of_a_year(one) for name, one in found.items()},
        "served_f1_by_start": {
            name: {"good": rounded(one.mean_served_f1(0)), "weak": rounded(one.mean_served_f1(1))}
            for name, one in found.items()
            if name in (FIRST, OURS)
        },
        "twin": {"decisions": 2 * histories[OURS].promoted.size, "differ": differ},
        "poisoned_week": {
            name: {kind: rounded(one.after_poison(kind, world.poisoned)) for kind in ("promoted", "mild", "serious")}
            for name, one in found.items()
        },
    }


_COUNTED = ("mild", "serious", "below_champion", "wrong_holds", "promoted")


def _mistakes_of_a_year(found: Mistakes) -> Answer:
    counted = {name: rounded(found.per_year(name)) for name in _COUNTED}
    return counted | {"served_f1": rounded(found.mean_served_f1())}


def confidences(recipe: Recipe = YEAR) -> list[Answer]:
    """This gate with other values of GATE_CONFIDENCE."""
    values = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
    gates = {str(value): FoldGate(replace(RULES, gate_confidence=value)) for value in values}
    world = World(recipe, SEED)
    histories = decide(world, gates)
    return [
        {"confidence": float(name)} | _mistakes_of_a_year(mistakes(world, history))
        for name, history in histories.items()
    ]


def mid_week(recipe: Recipe = YEAR) -> list[Answer]:
    """A try each 1.4, 2.8 or 7 days; this gate also without GATE_MIDWEEK_CONFIDENCE."""
    world = World(replace(recipe, period_days=1.4), SEED)
    without = replace(RULES, gate_midweek_confidence=0.5)
    answers = []
    for every in (1, 2, 5):
        gates = products() | {WITHOUT_MIDWEEK: FoldGate(without)}
        for name, history in decide(world, gates, every=every).items():
            days = {"days": round(1.4 * every, 1), "gate": name}
            answers.append(days | _mistakes_of_a_year(mistakes(world, history)))
    return answers


DECLINES = (0.0, 0.0035, 0.007, 0.0105, 0.014)
"""Of u per week: 0.007 is about 0.13 of F1 per year."""


def ratchet(recipe: Recipe = YEAR) -> list[Answer]:
    """How far quality slides in a year in which each new candidate is a little worse.

    The specialist begins well above the line, where the thresholds do not stop the slide, and the world does not move,
    so that old versions lose nothing. `without reference` is this gate with REFERENCE_WEEKS=0.
    """
    answers = []
    for decline in DECLINES:
        world = World(_declining(recipe, decline), SEED)
        gates = products() | {WITHOUT_REFERENCE: FoldGate(replace(RULES, reference_weeks=0))}
        slides = {name: slide(world, history) for name, history in decide(world, gates).items()}
        answers.append({"decline": decline} | {name: rounded(estimate(one)) for name, one in slides.items()})
    return answers


RATCHET_DECLINE = 0.007
"""The decline of the figures that the acceptance names."""


def _declining(recipe: Recipe, decline: float) -> Recipe:
    well_above = recipe.distance[1]
    return replace(
        recipe, distance=(well_above, well_above), drift_sd=0.0, poisoned_weeks=None, start=(0.0,), decline=decline
    )


PLANS = {
    "each row a plan of its own": {},
    "two rows of each plan": {"rows_per_plan": 2},
    "half of the plans come back after a week": {"recurring": 0.5},
    "both": {"rows_per_plan": 2, "recurring": 0.5},
}


def recurring_plans(recipe: Recipe = YEAR) -> list[Answer]:
    """Rows that share a plan are less evidence than their number says."""
    answers = []
    for plans, changes in PLANS.items():
        world = World(replace(recipe, **changes), SEED)
        for name, history in decide(world, products()).items():
            answers.append({"plans": plans, "gate": name} | _mistakes_of_a_year(mistakes(world, history)))
    return answers


TEST_SIZES = (100, 150, 225, 300, 600)
DISTANCES = tuple(np.round(np.arange(-0.08, 0.1001, 0.02), 2).tolist())
ADVANTAGES = tuple(np.round(np.arange(-0.16, 0.1601, 0.04), 2).tolist())
"""Of the candidate over the champion, in u."""


def sizes(candidates: int = 2000) -> Answer:
    """The probability that a candidate is promoted, by how good it truly is and by the number of test rows.

    `distance`: precision and recall are that far from their thresholds, and the champion is much worse. `advantage`:
    the true F1 is that far above the champion's, and both are far above the line.
    """
    alone: list[Answer] = []
    compared: list[Answer] = []
    for rows in TEST_SIZES:
        for distance in DISTANCES:
            world = _one_candidate(candidates, rows, distance, champion=-0.5)
            alone.append({"rows": rows, "distance": distance} | _promoted(world))
        for advantage in ADVANTAGES:
            world = _one_candidate(candidates, rows, 0.15, champion=-advantage)
            born = np.full_like(world.histories, world.first)
            gained = world.truth(born, world.first).f1 - world.truth(born - 1, world.first).f1
            compared.append({"rows": rows, "advantage": rounded(gained.mean())} | _promoted(world))
    return {"alone": alone, "compared": compared}


def _one_candidate(candidates: int, rows: int, distance: float, *, champion: float) -> World:
    """A week with one candidate and one champion, whose true quality is known exactly."""
    recipe = Recipe(
        histories=candidates,
        weeks=1,
        distance=(distance, distance),
        approvals=(0.425, 0.425),
        rows=(round(rows / 0.15), round(rows / 0.15)),
        noise_sd=(0.0, 0.0),
        drift_sd=0.0,
        wave_sd=0.0,
        start=(champion,),
        poisoned_weeks=None,
    )
    return World(recipe, SEED)


def _promoted(world: World) -> Mapping[str, float]:
    """The share of candidates that each gate promotes."""
    champion = np.full_like(world.histories, world.first - 1)
    evidence = Question(world, world.first).evidence(champion, champion)
    return {name: rounded(gate(evidence).mean()) for name, gate in ((FIRST, FirstGate()), (OURS, FoldGate()))}
