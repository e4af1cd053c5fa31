"""The picture of a dataset's labels: every row is in one bar, and the picture is whole and small."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import PROVENANCES, counts
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.label_picture import counts_of_bars, draw_labels, labels_figure
from nhm_assets.steps.pictures import LARGEST, markdown
from tests.support.documents import WEEK, WEEK_END, WINDOW_START
from tests.support.learnable import learnable
from tests.support.pictures import cut_texts, overlapping_texts, shown_texts

PARTITION = Partition.parse(WEEK, "technical")
MONTH, YEARS = Window(WINDOW_START, WEEK_END), Window(WEEK_END - timedelta(days=800), WEEK_END)


def spread(window: Window, provenances: tuple[str, ...] = ("reviewer",)) -> pd.DataFrame:
    """Rows all over the window."""
    random, frame = np.random.default_rng(0), learnable(400)
    moments = [window.start + (window.end - window.start) * share for share in np.sort(random.random(len(frame)))]
    times = pd.to_datetime(moments, utc=True)
    return frame.assign(submitted_at=times, provenance=random.choice(provenances, len(frame)))


@pytest.mark.parametrize("window", [MONTH, YEARS])
def test_every_row_is_in_one_bar(window: Window):
    frame = spread(window)
    found = counts_of_bars(frame, window)
    assert {str(label): int(count) for label, count in found.sum().items()} == counts(frame["label"])
    assert len(found) == (5 if window is MONTH else 23)


def test_bars_count_back_from_the_end_of_the_window():
    times = [WEEK_END - timedelta(seconds=1), WEEK_END - timedelta(days=7), WEEK_END - timedelta(days=7, seconds=1)]
    frame = learnable(400)[:3].assign(submitted_at=pd.to_datetime([*times[:1], *times[2:], WINDOW_START], utc=True))
    assert counts_of_bars(frame, MONTH).sum(axis=1).tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(("window", "provenances"), [(MONTH, ("reviewer",)), (YEARS, PROVENANCES)])
def test_the_picture_is_whole_small_and_the_same_each_time(window: Window, provenances: tuple[str, ...]):
    frame = spread(window, provenances)
    figure = labels_figure(frame, PARTITION, window)
    assert cut_texts(figure) == []
    assert overlapping_texts(figure) == []
    drawn = draw_labels(frame, PARTITION, window)
    assert drawn == draw_labels(frame, PARTITION, window)
    assert len(markdown("labels", drawn)) < LARGEST


def test_each_provenance_has_a_panel_with_its_rows():
    frame = spread(MONTH, PROVENANCES)
    texts = {text.get_text() for text in shown_texts(labels_figure(frame, PARTITION, MONTH))}
    for name, count in counts(frame["provenance"]).items():
        assert f"{'none: made-up rows' if name == 'none' else name}: {count} rows" in texts


def test_a_dataset_without_rows_has_a_picture_too():
    frame = learnable(400)[:0]
    assert draw_labels(frame, PARTITION, MONTH).startswith(b"<?xml")
