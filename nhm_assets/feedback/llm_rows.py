"""Rows that a language model made: read from a file, and added to the train rows of a dataset.

Real rows decide how many there may be. A row that resembles a real one is left out, whatever its split: a model must
not learn, by way of a language model, what it is tested on.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import (
    COMPUTED_FEATURES,
    EMBEDDING_FEATURES,
    FEATURE_NAMES,
    LLM,
    NO_FEEDBACK,
    REAL,
    REVIEW_REQUIRED,
    TRAIN,
    conform,
)
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.selection import LlmRules
from nhm_assets.feedback.features import LARGEST_FEATURE
from nhm_assets.feedback.llm_agreement import agreed_by

CONDITIONAL: Final = 3
"""In these files, a class that specialists know and people's feedback does not."""

_RATING: Final = 0.5
"""Nobody rated these rows, and no model learns the rating."""


@dataclass(frozen=True)
class Added:
    """A dataset with rows of a language model, and what is stored beside it: plain JSON."""

    frame: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)


def llm_file(folder: Path, specialist: str) -> Path:
    """The file with the rows of a specialist."""
    return folder / f"specialist_{specialist}_base.parquet"


def read_llm_rows(file: Path) -> pd.DataFrame:
    """The 26 features and the label (0 reject, 1 approve, 2 review_required, 3 conditional) of each row.

    Raises:
        DataError: it cannot be read, or has other columns, types or labels.
    """
    try:
        rows = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read as Parquet ({type(error).__name__}). Replace it, or unset LLM_DATASET_DIR"
        ) from error
    if faults := _faults(rows):
        raise DataError(
            f"{file} is no file of rows to learn: {'; '.join(faults)}. It must have the 26 features as float64 and"
            " `label`, 0 to 3; see docs/data-generation.md"
        )
    return rows[[*FEATURE_NAMES, "label"]].reset_index(drop=True)


def _faults(rows: pd.DataFrame) -> list[str]:
    missing = [name for name in (*FEATURE_NAMES, "label") if name not in rows]
    if missing:
        return [f"it has no {', '.join(missing)}"]
    odd = [name for name in FEATURE_NAMES if rows[name].dtype != "float64"]
    faults = [f"{', '.join(odd)} {'is' if len(odd) == 1 else 'are'} not float64"] if odd else []
    if rows["label"].dtype.kind not in "iu" or not rows["label"].between(0, CONDITIONAL).all():
        faults.append("label is not an integer from 0 to 3 in every row")
    return faults


def with_llm_rows(real: pd.DataFrame, partition: Partition, rules: LlmRules) -> Added:
    """The dataset with the rows of its specialist's file that the rules allow; without a file, as it is.

    The same file and the same other rows give the same dataset.

    Args:
        real: the dataset of real rows, and of synthetic ones where these are allowed.
        partition: of the dataset.
        rules: what may be added.

    Raises:
        DataError: LLM_DATASET_DIR is no folder, the file is none of these, or nobody but its maker agrees with it.
    """
    if not rules.folder.is_dir():
        raise DataError(f"LLM_DATASET_DIR {rules.folder} is no folder. Correct it, or unset it")
    file = llm_file(rules.folder, str(partition.specialist))
    if not file.exists():
        return Added(real, {"llm_rows": 0, "llm_file": f"there is no {file.name} in LLM_DATASET_DIR"})
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    who = agreed_by(file, sha256)
    made = read_llm_rows(file)
    usable, left_out = _usable(made, real, rules.conditional)
    allowed = _allowed(usable, real, rules.max_share)
    left_out["more_than_allowed"] = len(usable) - len(allowed)
    summary = {
        "llm_rows": len(allowed),
        "llm_file": f"{file.name}, SHA-256 {sha256}",
        "llm_agreed_by": who,
        "llm_left_out": {reason: count for reason, count in left_out.items() if count},
    }
    if allowed.empty:
        return Added(real, summary)
    return Added(conform(pd.concat([real, _described(allowed, partition, real)], ignore_index=True)), summary)


def _usable(made: pd.DataFrame, real: pd.DataFrame, conditional: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows that a model could learn, in an order that does not depend on the file's; and the others by reason."""
    left_out = dict.fromkeys(("conditional", "not_finite", "duplicate", "same_features_as_feedback"), 0)
    rows = made
    if conditional == "drop":
        rows = rows[rows["label"] != CONDITIONAL]
        left_out["conditional"] = len(made) - len(rows)
    rows = rows.assign(label=rows["label"].astype("int64").replace(CONDITIONAL, REVIEW_REQUIRED))
    for reason, fits in (
        ("not_finite", _is_finite),
        ("duplicate", lambda found: ~found.duplicated(list(COMPUTED_FEATURES))),
        ("same_features_as_feedback", lambda found: ~feature_keys(found).isin(set(feature_keys(real)))),
    ):
        kept = rows[fits(rows)]
        left_out[reason] = len(rows) - len(kept)
        rows = kept
    return rows.assign(key=feature_keys(rows)).sort_values("key", ignore_index=True), left_out


def _is_finite(rows: pd.DataFrame) -> pd.Series:
    computed, embeddings = rows[list(COMPUTED_FEATURES)], rows[list(EMBEDDING_FEATURES)]
    # Trees cast to float32. A missing embedding is one that nobody stored.
    fits = (computed.abs() <= LARGEST_FEATURE).all(axis=1)
    return fits & (embeddings.isna() | (embeddings.abs() <= LARGEST_FEATURE)).all(axis=1)


def feature_keys(rows: pd.DataFrame) -> pd.Series:
    """A digest of the features that are computed from a plan: equal for equal ones."""
    found = map(_key, rows[list(COMPUTED_FEATURES)].to_numpy("float64"))
    return pd.Series(list(found), index=rows.index, dtype="object")


def key_of(features: Mapping[str, float]) -> str:
    """As `feature_keys`, for the features of one plan."""
    return _key(np.array([features[name] for name in COMPUTED_FEATURES]))


def _key(values: np.ndarray) -> str:
    # Adding zero makes one of the two zeros of floating-point numbers.
    return hashlib.blake2b((values + 0.0).tobytes(), digest_size=8).hexdigest()


def _allowed(usable: pd.DataFrame, real: pd.DataFrame, max_share: float) -> pd.DataFrame:
    """As many as the train rows allow: at most that share of them, and never more of a class than real ones."""
    train = real[real["split"] == TRAIN]
    per_class = train.loc[train["source"] == REAL, "label"].value_counts()
    quota = usable["label"].map(per_class).fillna(0)
    within = usable[usable.groupby("label").cumcount() < quota]
    # The share is of all train rows, these among them. Rounding must not take one away.
    most = math.floor(max_share * len(train) / (1 - max_share) + 1e-9)
    return within.head(most)


def _described(rows: pd.DataFrame, partition: Partition, real: pd.DataFrame) -> pd.DataFrame:
    times = real.loc[(real["split"] == TRAIN) & (real["source"] == REAL), "submitted_at"]
    names = [f"llm-{partition.specialist}-{key}" for key in rows["key"]]
    return rows.drop(columns="key").assign(
        feedback_id=names,
        opinion_id=names,
        plan_id=names,
        # Between those of real rows, and not in the window, whose end moves in the running week.
        submitted_at=pd.date_range(times.min(), times.max(), periods=len(rows) + 2)[1:-1],
        human_rating=_RATING,
        source=LLM,
        provenance=NO_FEEDBACK,
        split=TRAIN,
    )
