"""Questions about a database's schema that Dagster's storages ask again and again."""

from collections.abc import Callable
from typing import Any


def ask_once(storage: object, method: str, found: set[tuple[Any, ...]]) -> None:
    """Let this method of a storage ask the database until the answer is yes: migrations only add to a schema.

    Args:
        storage: of Dagster.
        method: its name; it says whether a table or a column exists.
        found: keeps what was found.
    """
    asked: Callable[..., bool] = getattr(storage, method)

    def answer(*arguments: str) -> bool:
        key = (method, *arguments)
        if key not in found and asked(*arguments):
            found.add(key)
        return key in found

    setattr(storage, method, answer)
