"""Makes docs/dataset.md from the tables of columns and fields: `python -m nhm_assets.feedback.document`."""

import sys
from textwrap import wrap
from typing import Final

from nhm_assets.domain.dataset_columns import DATASET_COLUMNS, Column, fields_of
from nhm_assets.domain.source_fields import SOURCE_FIELDS
from nhm_assets.feedback.rules import Reason

_INTRODUCTION: Final = """\
# The dataset

One row is one opinion of a specialist, labelled by the newest feedback in the window. `make dataset-document` makes
this page from the tables in `nhm_assets/domain/dataset_columns.py` and `nhm_assets/domain/source_fields.py`; the same
tables are shown in Dagster's UI as the columns of `feedback_dataset` and of the collections. `nhm lineage SPECIALIST`
follows them to a version and to the pods that serve it.

The features of a plan are those that a specialist stored in `plan_features`, if all 26 are there. Otherwise they are
computed from the plan: the one in the opinion, else the one in the ledger.

## Columns
"""
_WIDTH: Final = 120
_REJECTED: Final = """\
## Feedback that becomes no row

Rejected documents are kept in `feedback_quarantine`, with the first of these reasons that applies:
"""


def document() -> str:
    """The whole page."""
    return "\n".join(
        [
            _INTRODUCTION,
            *map(_column, DATASET_COLUMNS),
            "",
            "## Fields of the documents",
            "",
            "The names of the collections are settings; these are the names of their assets.",
            *(line for asset in SOURCE_FIELDS for line in _collection(asset)),
            "",
            _REJECTED,
            *wrap(", ".join(f"`{reason}`" for reason in Reason) + ".", _WIDTH),
            "",
        ]
    )


def _column(column: Column) -> str:
    fields = ", ".join(f"`{field}`" for field in fields_of(column.name))
    kind = ", ".join(filter(None, (column.kind, column.unit, column.span)))
    return _entry(f"- `{column.name}` ({kind}): {column.meaning}" + (f" From {fields}." if fields else ""))


def _collection(asset: str) -> list[str]:
    entries = [_entry(f"- `{field.name}` ({field.kind}): {field.meaning}") for field in SOURCE_FIELDS[asset]]
    return ["", f"### {asset}", "", *entries]


def _entry(text: str) -> str:
    return "\n".join(wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))


if __name__ == "__main__":
    sys.stdout.write(document())
