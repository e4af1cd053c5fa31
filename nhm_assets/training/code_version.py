"""The code version: a digest of the code itself, so it cannot be wrong."""

import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_RELEVANT = ("domain/dataset_schema.py", "feedback", "training")
"""The code that decides the rows and the model; a change elsewhere does not change the model."""


@cache
def code_version() -> str:
    """12 hex digits over the code that turns documents into a model, and over the version of scikit-learn."""
    import sklearn

    digest = hashlib.blake2b(sklearn.__version__.encode(), digest_size=6)
    for name in _RELEVANT:
        path = _PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
