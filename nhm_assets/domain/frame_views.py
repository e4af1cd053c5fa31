"""Parts of a dataset that share its memory: a copy of a million rows takes 250 MB. Nobody may change values in them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd


def taken(frame: pd.DataFrame, wanted: pd.Series | np.ndarray) -> pd.DataFrame:
    """The rows that are wanted, as `frame[wanted]`; only rows that do not follow one another are copied.

    Datasets are in the order of time, so what is learned and what is tested usually follows one another.

    Args:
        frame: a dataset.
        wanted: whether each of its rows is wanted, in its order.
    """
    mask = np.asarray(wanted, dtype="bool")
    count = int(mask.sum())
    first = int(mask.argmax()) if count else 0
    if mask[first : first + count].all():
        return frame.iloc[first : first + count]
    return frame[mask]


def columns(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """These columns, as `frame[names]`."""
    chosen = pd.DataFrame({name: frame[name] for name in names}, copy=False)
    chosen.attrs = dict(frame.attrs)
    return chosen


def renumbered(rows: pd.DataFrame, **more: np.ndarray) -> pd.DataFrame:
    """These rows with further columns, as `rows.assign(**more).reset_index(drop=True)`."""
    values = {name: column.array for name, column in rows.items()}
    numbered = pd.DataFrame(values | more, copy=False)
    numbered.attrs = dict(rows.attrs)
    return numbered
