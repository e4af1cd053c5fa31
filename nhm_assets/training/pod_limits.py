"""What a pod can load and how fast: the names in the model file, its size, its memory, and the time of one answer.

Pods have scikit-learn and its libraries, one processor and 512 MB or more.
"""

import pickle
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.model_files import loaded_model, model_file
from nhm_assets.registry.pickled_names import foreign_names
from nhm_assets.training.model_size import LARGEST_MB, MEGA
from nhm_assets.training.served_answers import as_sent

FITS: Final = "fits_into_pods"
IN_TIME: Final = "answers_in_time"
SLOWEST_MS: Final = 50
MOST_MEMORY_MB: Final = 256
_QUESTIONS: Final = 5
_NAMED: Final = 5
"""Foreign names that a reason lists."""
_PAGE_BYTES: Final = resource.getpagesize()
_STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True)
class Load:
    """What a version asks of a pod.

    Attributes:
        milliseconds: of the processor for one row, on one thread; the least of a few questions, so that other work on
            this machine does not count.
        memory_mb: how much the process grew when it loaded the file once more; None where the system does not tell.
    """

    milliseconds: float
    memory_mb: float | None


def judge_contents(files: Path) -> Verdict:
    """Whether a pod can load the file: it names what pods have, and is not too large. Nothing of it is run."""
    file = model_file(files)
    size = file.stat().st_size / MEGA
    fault = _fault(file, size)
    reason = fault or f"The model file has {size:.1f} MB and names nothing that pods lack."
    return Verdict(FITS, not fault, reason, {"megabytes": round(size, 3)})


def _fault(file: Path, size: float) -> str:
    """Why pods cannot have the file; empty if they can."""
    if size > LARGEST_MB:
        return f"The model file has {size:.1f} MB; at most {LARGEST_MB} MB are allowed. Take fewer or smaller trees."
    try:
        foreign = foreign_names(file)
    except RegistryError as error:
        return f"The model file cannot be judged: {error}."
    if not foreign:
        return ""
    more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
    return (
        f"The model file names {', '.join(foreign[:_NAMED])}{more}. Pods have scikit-learn, numpy 1.26, scipy and"
        " joblib, and nothing of ours: build the model of their classes alone."
    )


def judge_load(load: Load) -> Verdict:
    """Whether a pod answers in time and has the memory; a warning, since the time is that of this machine."""
    memory = load.memory_mb
    in_time, fits = load.milliseconds <= SLOWEST_MS, memory is None or memory <= MOST_MEMORY_MB
    grown = "" if memory is None else f" Loaded, it takes about {memory:.0f} MB of memory (at most {MOST_MEMORY_MB})."
    reason = f"One plan takes {load.milliseconds:.1f} ms of a processor of this machine (at most {SLOWEST_MS}).{grown}"
    figures = {"milliseconds": round(load.milliseconds, 1)} | ({} if memory is None else {"memory_mb": round(memory)})
    return Verdict(IN_TIME, in_time and fits, reason, figures, warns_only=True)


def measured_load(files: Path) -> Load:
    """Ask the loaded version about one plan at a time, and load its file once more.

    Raises:
        Exception: whatever a model that cannot be loaded or asked raises.
    """
    from threadpoolctl import threadpool_limits

    model: Any = loaded_model(files)
    sent = as_sent(pd.DataFrame(0.0, index=[0], columns=list(FEATURE_NAMES)))
    with threadpool_limits(1):
        model.predict(sent)
        spent = [_seconds(model, sent) for _ in range(_QUESTIONS)]
    return Load(min(spent) * 1000, _growth_mb(model_file(files)))


def _seconds(model: Any, sent: pd.DataFrame) -> float:
    started = time.thread_time()
    model.predict(sent)
    return time.thread_time() - started


def _growth_mb(file: Path) -> float | None:
    before = _resident_pages()
    with file.open("rb") as stream:
        again = pickle.load(stream)  # noqa: S301 - its digest was verified, and it has just been loaded
    after = _resident_pages()
    del again
    if before is None or after is None:
        return None
    # Memory that was free before is used first, so the growth alone may be too small.
    return max((after - before) * _PAGE_BYTES, file.stat().st_size) / MEGA


def _resident_pages() -> int | None:
    """Pages of this process that are in memory; None on systems that do not tell."""
    try:
        return int(_STATM.read_text().split()[1])
    except OSError:
        return None
