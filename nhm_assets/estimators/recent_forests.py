"""A forest that this process has just fitted on the same rows is not fitted again.

The candidate and the folds of the gate share the forest of the oldest rows (see `calibration`). Training fits it, the
evaluation a moment later asks for it twice. In another process it is fitted again and is the same one.
"""

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.estimators.forest import fit_forest

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

_MOST: Final = 4
"""As many as a candidate and two folds need. A hundred trees of depth 10 take 2 to 20 MB."""

_kept: "dict[str, RandomForestClassifier]" = {}
_lock = threading.Lock()


def forest_once(
    rows: pd.DataFrame, parameters: dict[str, Any], *, threads: int, served: ServedClasses = "names"
) -> "RandomForestClassifier":
    """What `fit_forest` returns for these arguments, fitted at most once in a row of fits.

    Others may hold the same forest, so nobody may change it.
    """
    key = _digest(rows, parameters, served)
    with _lock:
        forest = _kept.pop(key, None)
    if forest is None:
        forest = fit_forest(rows, parameters, threads=threads, served=served)
    with _lock:
        _kept[key] = forest
        while len(_kept) > _MOST:
            del _kept[next(iter(_kept))]
    return forest


def _digest(rows: pd.DataFrame, parameters: dict[str, Any], served: ServedClasses) -> str:
    """Of everything that a forest depends on; the number of threads is not among it."""
    digest = hashlib.sha256(repr((len(rows), sorted(parameters.items()), served)).encode())
    digest.update(rows[list(FEATURE_NAMES)].to_numpy(dtype="float64").tobytes())
    digest.update(rows["label"].to_numpy(dtype="int64").tobytes())
    return digest.hexdigest()
