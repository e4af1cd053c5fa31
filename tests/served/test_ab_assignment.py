"""Which variant of an A/B test a plan belongs to, computed again by other means."""

import hashlib
from fractions import Fraction

import pytest

from nhm_assets.domain.ab_records import MODEL_A, MODEL_B
from nhm_assets.served.ab_assignment import hash_value, variant_of

SEED = "neural-hive-ab-test"


def expected(plan_id: str, intent_id: str, seed: str, split: str) -> str:
    """As the rule is written down, in exact arithmetic."""
    hexadecimal = hashlib.new("sha256", (plan_id + intent_id + seed).encode()).hexdigest()
    value = Fraction(int(hexadecimal[:16], 16), 0xFFFFFFFFFFFFFFFF)
    return "model_a" if value < Fraction(split) else "model_b"


@pytest.mark.parametrize("split", ["0.9", "0.5"])
def test_the_assignment_is_that_of_the_specialists_on_ten_thousand_ids(split: str):
    ids = [(f"plan-{number}", f"intent-{number % 977}") for number in range(10_000)]
    found = [variant_of(plan, intent, SEED, float(split)) for plan, intent in ids]
    assert found == [expected(plan, intent, SEED, split) for plan, intent in ids]
    assert abs(found.count(MODEL_A) / len(found) - float(split)) < 0.015
    assert {MODEL_A, MODEL_B} == set(found)


def test_known_values():
    # printf plan-1intent-1neural-hive-ab-test | sha256sum
    assert hash_value("plan-1", "intent-1", SEED) == int("2a43fe38956d8408", 16) / (2**64 - 1)


def test_the_assignment_depends_on_every_part():
    values = {hash_value(*ids) for ids in (("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("y", "b", "c"))}
    assert len(values) == 4


def test_an_id_that_was_not_utf8_is_assigned_too():
    assert 0 <= hash_value("plan-\udcff", "", SEED) <= 1
