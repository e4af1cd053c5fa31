"""Who agrees with the labels of made-up rows: what the record beside a file says, and what is taken on trust.

A language model's own word is not enough: another model, or people, must agree. `nhm generate` records who did. Files
that other programs made may have no such record.
"""

import json
from pathlib import Path
from typing import Any, Final

from nhm_assets.domain.errors import DataError

ON_TRUST: Final = "not known: no record beside the file says who agrees with its labels, so they are taken on trust"


def record_file(rows: Path) -> Path:
    """The record of how the rows in a file were made."""
    return rows.with_suffix(".json")


def agreed_by(file: Path, sha256: str) -> str:
    """Who agrees with the labels in a file of rows, in words; `ON_TRUST` if no record says so.

    Args:
        file: with the rows.
        sha256: of its content.

    Raises:
        DataError: the record says that nobody but the maker agrees, or is about other rows.
    """
    record = _record(record_file(file))
    if record is None:
        return ON_TRUST
    if record["sha256"] != sha256:
        raise DataError(
            f"{file} is not the file that {record_file(file).name} is about: the SHA-256 differs, so nobody is known to"
            " agree with its labels. Put back the rows that the record is about, or hand them over again with nhm"
            " generate --agreed-by"
        )
    who, maker = record["agreed_by"], record.get("model")
    if not isinstance(who, str) or not who.strip() or who == maker:
        raise DataError(
            f"nobody but the model that made them agrees with the labels in {file}, by its record. Let another model"
            " judge them (nhm generate --judge), or read them (nhm generate --agreed-by)"
        )
    return f"{who}, a model other than the maker" if who == record.get("judge") else f"{who}, after reading the rows"


def _record(path: Path) -> dict[str, Any] | None:
    """A record as `nhm generate` writes it; None if there is none, or a file of another kind."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"sha256", "agreed_by"} <= found.keys() else None
