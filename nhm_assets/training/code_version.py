"""The code version: a digest of the code that computes, so it cannot be wrong."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGE = Path(__file__).parents[1]
COMPUTING: Final = (
    "domain/class_order.py",
    "domain/dataset_schema.py",
    "domain/dataset_words.py",
    "domain/feature_names.py",
    "domain/frame_views.py",
    "domain/segments.py",
    "feedback/bottlenecks.py",
    "feedback/bson_columns.py",
    "feedback/column_values.py",
    "feedback/features.py",
    "feedback/graph_columns.py",
    "feedback/phrase_columns.py",
    "feedback/plan_columns.py",
    "feedback/plan_graph.py",
    "domain/text.py",
    "estimators/calibration.py",
    *sorted(file.relative_to(_PACKAGE).as_posix() for file in (_PACKAGE / "estimators/families").glob("*.py")),
    "estimators/fitting.py",
    "estimators/increment.py",
    "estimators/recent_fits.py",
    "training/auto_search.py",
    "training/model_size.py",
    "training/search_choice.py",
    "training/tuning.py",
)
"""The extractor and the fit. What chooses rows and splits them is not here: its effect is in the data version."""

LIBRARIES: Final = ("numpy", "scipy", "scikit-learn", "optuna")


@cache
def code_version() -> str:
    """12 hex digits over the code that turns plans into features and rows into a model, and over its libraries.

    Comments, docstrings and the layout of the code do not count, and neither does the version of Python.
    """
    digest = hashlib.blake2b(digest_size=6)
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\0".encode())
    for name in COMPUTING:
        digest.update(f"{name}\0{structure((_PACKAGE / name).read_text(encoding='utf-8'))}\0".encode())
    return digest.hexdigest()


def structure(source: str) -> str:
    """What a module does, as text without comments, docstrings and layout; equal on every Python."""
    return " ".join(_parts(ast.parse(source)))


def _parts(node: object) -> Iterator[str]:
    """The tree's nodes and values in order. `ast.dump` would differ: newer versions have more fields, all empty."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if value not in (None, []):
                yield name
                yield from _parts(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            if not _is_remark(item):
                yield from _parts(item)
        yield "]"
    else:
        yield repr(node)


def _is_remark(node: object) -> bool:
    """Whether this is a docstring, or a string that describes the constant above it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
