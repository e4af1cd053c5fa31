"""What the search over families gains, with many seeds and on the whole field. `benchmarks.families` prints figures."""

from itertools import islice
from pathlib import Path

import pytest

from benchmarks.calibration import frames
from benchmarks.families import compared, noise
from nhm_assets.domain.specialists import FIVE

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(7200)]


@pytest.mark.shared
def test_on_the_field_the_choice_is_not_worse_than_the_default_by_more_than_one_standard_error(
    field_documents: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TUNING_TRIALS", "12")
    found = {
        name: compared(frame) for name, frame in zip(FIVE, islice(frames(field_documents), len(FIVE)), strict=True)
    }
    assert {name: gain for name, gain in found.items() if gain[0] < -gain[1]} == {}


def test_of_what_reviewers_like_those_of_behavior_teach_the_gate_promotes_at_most_two_of_a_hundred(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TUNING_TRIALS", "7")
    assert noise(range(100)) <= 2
