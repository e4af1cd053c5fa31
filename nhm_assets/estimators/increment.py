"""An increment: a version is frozen, and a small logistic correction of its answers learns from each new feedback.

The correction begins as no correction at all. It is asked about each feedback before it learns it, so its loss is that
of a model in use (Dawid 1984, prequential). The same rows result in the same increment: it always begins at the frozen
version and learns what came since, so nothing is ever learned twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import FEATURE_NAMES, REAL
from nhm_assets.domain.increment_records import Increment
from nhm_assets.estimators.families.family import SEED
from nhm_assets.estimators.fitting import learning_rows

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import StackingClassifier
    from sklearn.linear_model import SGDClassifier

RATE: Final = 0.005
"""How far one feedback moves the correction."""
KEPT: Final = 0.995
"""The share of the correction that is left after one more feedback: after 140, half is forgotten."""
LAST: Final = 100
"""As much of the newest feedback decides whether the correction is used."""
FLOOR: Final = 0.001
"""Smaller probabilities count as this one: a forest may say 0."""
_PLAN: Final = 0.1
"""Weight of the scaled features of a plan beside the frozen version's answers."""
_WIDEST: Final = 3.0
"""Standard deviations: features further away from the mean count as this far."""
_OTHERS: Final = np.ones((3, 3)) - np.eye(3)


def rows_since(frame: pd.DataFrame, learned_until: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The real rows to learn of a dataset, in the order of time: those up to then, and the new ones.

    Test rows are among neither: the gate asks the increment about them. Of equal feedback ids, the first one counts.
    """
    rows = learning_rows(frame)
    rows = rows[rows["source"] == REAL].sort_values(["submitted_at", "feedback_id"], kind="stable")
    rows = rows.drop_duplicates("feedback_id")
    new = rows["submitted_at"] > learned_until
    return rows[~new], rows[new]


@dataclass(frozen=True)
class Prequential:
    """The log loss of each feedback before it was learned, in the order of time; shape (n,).

    Attributes:
        frozen: of the frozen version.
        corrected: of what the correction made of its answers at that moment.
    """

    frozen: np.ndarray
    corrected: np.ndarray

    @property
    def falls_back(self) -> bool:
        """Whether the correction was worse on the last feedback."""
        return bool(self.corrected[-LAST:].mean() > self.frozen[-LAST:].mean())

    def record(self, frozen: str) -> Increment:
        """What is recorded of it; `frozen` is the number of that version."""
        frozen_last, last = self.frozen[-LAST:], self.corrected[-LAST:]
        return Increment(
            frozen=frozen,
            feedback=len(self.frozen),
            frozen_log_loss=float(self.frozen.mean()),
            log_loss=float(self.corrected.mean()),
            last=len(last),
            last_frozen_log_loss=float(frozen_last.mean()),
            last_log_loss=float(last.mean()),
            fell_back=self.falls_back,
        )


def learn_increment(
    frozen: Any, known: pd.DataFrame, new: pd.DataFrame, *, served: ServedClasses
) -> tuple[Any, Prequential]:
    """The estimator to serve and how the correction did: the frozen one itself where the correction was worse.

    The estimator is a stack of scikit-learn whose only member is the frozen one.

    Args:
        frozen: the estimator of the version; it is not changed.
        known: rows from before, which say how features are scaled; their labels are not used.
        new: rows to learn, at least one, in the order of time.
        served: whether the classes of the frozen one are names or numbers.
    """
    from sklearn.pipeline import Pipeline
    from threadpoolctl import threadpool_limits

    features = list(FEATURE_NAMES)
    with threadpool_limits(1, user_api="blas"):
        stack = _stack(frozen, new[features])
        prepare, correct = _preparation(), _no_correction()
        prepare.fit(stack.transform((known if len(known) else new)[features]))
        asked = stack.transform(new[features])
        labels = np.searchsorted(frozen.classes_, fitted_labels(new["label"].to_numpy(), served))
        losses = np.array(list(_learned(correct, prepare.transform(asked), labels)))
    floored = np.maximum(asked[:, :3], FLOOR)
    said = floored[np.arange(len(labels)), labels] / floored.sum(axis=1)
    prequential = Prequential(-np.log(said), losses)
    if prequential.falls_back:
        return frozen, prequential
    stack.final_estimator_ = Pipeline([("prepare", prepare), ("correct", correct)])
    return stack, prequential


def _stack(frozen: Any, features: pd.DataFrame) -> "StackingClassifier":
    """A stack that hands the frozen one's three probabilities and the plan's features on, in this order."""
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import StackingClassifier

    stack = StackingClassifier(
        [("frozen", frozen)],
        final_estimator=DummyClassifier(),
        cv="prefit",
        stack_method="predict_proba",
        passthrough=True,
    )
    # It learns the names of the classes; the correction takes the place of what it fits at its end.
    return stack.fit(features.iloc[[0, 0, 0]], frozen.classes_)


def _preparation() -> "ColumnTransformer":
    """Probabilities become logits, features are scaled. All by name: a pod has none of our functions."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    def by_name(function: Any, **arguments: Any) -> FunctionTransformer:
        return FunctionTransformer(function, kw_args=arguments)

    # Each probability beside the sum of the two others, then their logarithms, then the differences.
    pairs, differences = np.hstack([np.eye(3), _OTHERS]), np.vstack([np.eye(3), -np.eye(3)])
    logits = make_pipeline(
        by_name(np.clip, a_min=FLOOR, a_max=None),
        by_name(np.dot, b=pairs),
        FunctionTransformer(np.log),
        by_name(np.dot, b=differences),
    )
    plan = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        by_name(np.clip, a_min=-_WIDEST, a_max=_WIDEST),
    )
    columns = [("answers", logits, slice(0, 3)), ("plan", plan, slice(3, None))]
    return ColumnTransformer(columns, transformer_weights={"plan": _PLAN})


def _no_correction() -> "SGDClassifier":
    """A correction that answers what it is told: each class by its own logit alone."""
    from sklearn.linear_model import SGDClassifier

    correct = SGDClassifier(loss="log_loss", penalty=None, learning_rate="constant", eta0=RATE, random_state=SEED)
    width = 3 + len(FEATURE_NAMES)
    # Without weight, it learns nothing but how many columns and classes there are.
    correct.partial_fit(np.zeros((1, width)), [0], classes=range(3), sample_weight=[0.0])
    correct.coef_[:] = np.eye(3, width)
    return correct


def _learned(correct: "SGDClassifier", columns: np.ndarray, labels: np.ndarray) -> Iterator[float]:
    """Ask about each row, then learn it, then forget a little; yields the loss of each row."""
    nothing = np.eye(*correct.coef_.shape)
    for row, label in zip(columns, labels, strict=True):
        answer = correct.predict_proba(row[None])[0]
        yield float(-np.log(max(answer[label], FLOOR)))
        correct.partial_fit(row[None], [label])
        correct.coef_ -= (1 - KEPT) * (correct.coef_ - nothing)
        correct.intercept_ *= KEPT
