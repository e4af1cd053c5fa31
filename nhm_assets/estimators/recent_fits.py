"""A model that this process has just fitted on the same rows is not fitted again.

The candidate and the folds of the gate share the model of the oldest rows (see `calibration`). Training fits it, the
evaluation a moment later asks for it twice. In another process it is fitted again and is the same one.
"""

import hashlib
import threading
from typing import Any, Final

import pandas as pd

from nhm_assets.domain.class_order import ServedClasses
from nhm_assets.domain.dataset_schema import FEATURE_NAMES, data_version
from nhm_assets.domain.frame_views import columns
from nhm_assets.estimators.fitting import fit_model

_MOST: Final = 4
"""As many as a candidate and two folds need. A model takes 2 to 20 MB, seldom more."""

_kept: dict[str, Any] = {}
_lock = threading.Lock()


def fit_once(rows: pd.DataFrame, parameters: dict[str, Any], *, threads: int, served: ServedClasses = "names") -> Any:
    """What `fit_model` returns for these arguments, fitted at most once in a row of fits.

    Others may hold the same model, so nobody may change it.
    """
    key = _digest(rows, parameters, served)
    with _lock:
        model = _kept.pop(key, None)
    if model is None:
        model = fit_model(rows, parameters, threads=threads, served=served)
    with _lock:
        _kept[key] = model
        while len(_kept) > _MOST:
            del _kept[next(iter(_kept))]
    return model


def _digest(rows: pd.DataFrame, parameters: dict[str, Any], served: ServedClasses) -> str:
    """Of everything that a model depends on; the number of threads is not among it."""
    digest = hashlib.sha256(repr((len(rows), sorted(parameters.items()), served)).encode())
    # By plan, an ensemble's rows are cut into older and newer ones.
    digest.update(data_version(columns(rows, (*FEATURE_NAMES, "label", "plan_id", "source"))).encode())
    return digest.hexdigest()
