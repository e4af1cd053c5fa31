"""What increments gain: each row is scored before an increment learns it. `benchmarks.increments` prints figures."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.increments import STEP, field, gain, scored
from tests.support.documents import WEEK_END
from tests.support.learnable import learnable


def test_what_a_row_says_changes_no_score_of_the_rows_before_it_and_of_its_own_step():
    frame = learnable(300, noise=0.2)
    changed = frame.assign(label=frame["label"].where(np.arange(300) < 299, (frame["label"] + 1) % 3))
    one, other = (scored(rows, WEEK_END - timedelta(days=7), WEEK_END) for rows in (frame, changed))
    assert len(one) == 105, "15 % of the older rows, and the week's 70"
    assert np.array_equal(one["served"][:STEP], one["frozen"][:STEP]), "nothing has been learned yet"
    assert (one["served"][STEP:] != one["frozen"][STEP:]).any()
    assert one[:104].equals(other[:104])


@pytest.mark.exhaustive
@pytest.mark.shared
@pytest.mark.timeout(7200)
def test_on_the_field_increments_are_not_worse_than_the_frozen_version_by_more_than_one_standard_error(
    field_documents: Path,
):
    found = {(name, kind): gain(scores, "served") for name, kind, scores in field(field_documents)}
    assert len(found) == 10
    assert {key: one for key, one in found.items() if one.mean > one.error} == {}
