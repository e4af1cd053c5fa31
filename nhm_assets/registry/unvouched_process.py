"""The process that loads an unvouched model: `python -I -m nhm_assets.registry.unvouched_process MODEL FOLDER`.

Everything that it needs is imported before it gives up its rights; only then does it touch the model.
"""

import json
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nhm_assets.registry.landlock import confine
from nhm_assets.registry.unvouched_model import ANSWER, CLASSES, LEFT, ROWS


def main(files: Path, folder: Path) -> None:
    """Load the model, ask it about the rows, and write its answer and its classes into the folder."""
    import mlflow.pyfunc
    import mlflow.sklearn

    warnings.simplefilter("ignore")
    rows = pd.read_parquet(folder / ROWS)
    left = confine(read=[files, *_pythons_own()], write=folder)
    if left:
        print(f"{LEFT} {' and '.join(left)}", file=sys.stderr)
    loaded = mlflow.pyfunc.load_model(str(files))
    answer = np.asarray(loaded.predict(rows), dtype="float64")
    np.save(folder / ANSWER, answer, allow_pickle=False)
    (folder / CLASSES).write_text(json.dumps(_classes_of(loaded)))


def _pythons_own() -> list[Path]:
    """Folders of Python, its packages and the system's libraries."""
    paths = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *sys.path, "/usr", "/lib", "/lib64"]
    return sorted({Path(path).resolve() for path in paths if path})


def _classes_of(loaded: Any) -> Any:
    classes = getattr(loaded.get_raw_model(), "classes_", None)
    return None if classes is None else np.asarray(classes).tolist()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # noqa: BLE001 - a model may raise anything; the parent reads the last line
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
