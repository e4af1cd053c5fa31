"""What a model file names, read without loading it: pods have scikit-learn and its libraries, and nothing of ours.

A pickle gets at code by name alone. Here every name yields a thing that does nothing, so reading runs no code of the
file.
"""

import pickle
from pathlib import Path
from typing import Any, Final

from nhm_assets.domain.errors import RegistryError

PACKAGES: Final = frozenset({"sklearn", "scipy", "joblib", "_loss"})
"""What pods have of what a model may need; `_loss` is scikit-learn's, as gradient boosting names it."""
NUMPY_MODULES: Final = frozenset({"numpy", "numpy._core.multiarray", "numpy.core.multiarray"})
"""Modules that numpy 1.26 and 2 both have. Others moved, and random generators of numpy 2 do not load in 1.26."""
PLAIN_NAMES: Final = {
    "builtins": frozenset(
        {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range"}
        | {"set", "slice", "str", "tuple"}
    ),
    "collections": frozenset({"OrderedDict", "defaultdict"}),
    "copyreg": frozenset({"_reconstructor"}),
    "_codecs": frozenset({"encode"}),
}
"""Names of Python's own that hold data; others, such as `eval`, have no place in a model."""


def names_in(file: Path) -> frozenset[tuple[str, str]]:
    """Every module and name that a pickle asks for.

    Raises:
        RegistryError: the file is no pickle, or one that asks for more than names.
    """
    try:
        with file.open("rb") as stream:
            reader = _Reader(stream)
            reader.load()
    except Exception as error:
        raise RegistryError(f"{file.name} cannot be read as a pickle ({error})") from error
    return frozenset(reader.names)


def foreign_names(file: Path) -> list[str]:
    """The names in a model file that pods cannot be relied on to have; see `names_in`."""
    return sorted(f"{module}.{name}" for module, name in names_in(file) if not _known(module, name))


def _known(module: str, name: str) -> bool:
    # A dotted name may reach what a module imports, such as `os.system`.
    theirs = module.partition(".")[0] in PACKAGES or module in NUMPY_MODULES
    return (theirs and "." not in name) or name in PLAIN_NAMES.get(module, frozenset())


class _Reader(pickle.Unpickler):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.names: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> type["_Nothing"]:
        self.names.add((module, name))
        return _Nothing


class _Anything(type):
    def __setitem__(cls, _: Any, __: Any) -> None:
        """Take an item of a mapping."""


class _Nothing(metaclass=_Anything):
    """Stands for whatever a pickle asks for: a function, a class, and what they make. It takes what is done with it."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return cls

    @staticmethod
    def __setstate__(_: Any) -> None:
        """Take a state."""

    @staticmethod
    def extend(_: Any) -> None:
        """Take items of a list."""

    append = add = extend
