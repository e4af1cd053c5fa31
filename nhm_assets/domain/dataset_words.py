"""The words of a dataset: classes, sources, who gave the feedback, splits. They need no library."""

from typing import Final

REJECT: Final = 0
APPROVE: Final = 1
REVIEW_REQUIRED: Final = 2
LABELS: Final = {"reject": REJECT, "approve": APPROVE, "review_required": REVIEW_REQUIRED}
"""A reviewer's recommendation -> the class that is learned."""

CLASS_NAMES: Final = tuple(LABELS)
"""Names of the classes 0, 1 and 2. Models may answer in another order: see class_order.py."""

REAL: Final = "real"
SYNTHETIC: Final = "synthetic"
LLM: Final = "llm"
HYBRID: Final = "hybrid"
SOURCES: Final = (REAL, SYNTHETIC, LLM)
"""Where a row is from: feedback, a generator of this platform, or a language model."""

REVIEWER: Final = "reviewer"
APPROVAL: Final = "approval"
SCRIPTED: Final = "scripted"
NO_FEEDBACK: Final = "none"
PROVENANCES: Final = (REVIEWER, APPROVAL, SCRIPTED, NO_FEEDBACK)
"""Who gave the feedback of a row: a reviewer, somebody who approved a plan, or a script. Made-up rows have none."""

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)

QUARANTINE: Final = "feedback_quarantine"
"""The collection with the feedback that became no row."""
