"""What runs import, loaded before the processes that execute them are forked."""

import importlib
from typing import Final

from nhm_assets.resource_factories import mlflow_of
from nhm_assets.settings import Settings

_LIBRARIES: Final = (
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "nhm_assets.instance.sqlite_storage",
    "pyarrow.dataset",
    "pymongo",
    "sklearn.calibration",
    "sklearn.ensemble",
)
"""What every run uses, and the code location imports only where it is used."""


def import_run_libraries(settings: Settings) -> None:
    """Import what runs use. It contacts nobody and starts no threads, which would not survive a fork."""
    mlflow_of(settings).import_library()
    for name in _LIBRARIES:
        importlib.import_module(name)
