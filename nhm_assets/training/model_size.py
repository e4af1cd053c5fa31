"""How large the file of a model would be, so that a search does not choose what pods cannot have."""

import pickle
from collections.abc import Iterable
from typing import Any, Final

from nhm_assets.domain.errors import DataError

LARGEST_MB: Final = 64
MEGA: Final = 1_000_000
TOO_LARGE: Final = "too large for pods"
"""What becomes of a trial with a larger model."""
_PROTOCOL: Final = 4
"""With which MLflow pickles."""


def megabytes_of(model: Any) -> float:
    """Megabytes of its file, without writing it."""
    counted = _Counted()
    pickle.Pickler(counted, protocol=_PROTOCOL).dump(model)
    return counted.size / MEGA


class _Counted:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        written = memoryview(data).nbytes
        self.size += written
        return written


def all_too_large(megabytes: Iterable[float | None], largest_mb: float) -> DataError:
    """The error of a search that finds no model that pods can have."""
    smallest = min(size for size in megabytes if size is not None)
    return DataError(
        f"every model that the search tried is too large for pods: the smallest would have {smallest:.1f} MB, and at"
        f" most {largest_mb} MB are allowed. Set MODEL_FAMILY to a family with smaller models, or lower"
        " FEEDBACK_WINDOW_DAYS"
    )
