"""Names of settings that other programs of the hive read and this platform does not, and what to set instead."""

from collections.abc import Mapping
from typing import Final

INSTEAD: Final = {
    "FEEDBACK_MONGODB_COLLECTION": "set FEEDBACK_COLLECTION",
    "MONGODB_OPINIONS_COLLECTION": "set OPINIONS_COLLECTION",
    "MONGODB_LEDGER_COLLECTION": "set PLANS_COLLECTION",
    "MONGODB_FEATURE_STORE_COLLECTION": "set FEATURES_COLLECTION",
    "RETRAINING_FEEDBACK_WINDOW_DAYS": "set FEEDBACK_WINDOW_DAYS",
    "RETRAINING_MIN_FEEDBACK_QUALITY": "set MIN_FEEDBACK_RATING",
    "EMAIL_RECIPIENTS": "set NOTIFY_URLS to mailto:// addresses",
    "SLACK_CHANNEL": "set NOTIFY_URLS to a slack:// address",
    "MODEL_TYPE": "set MODEL_FAMILY",
    "PROMOTE_IF_BETTER": "remove it: the gate always compares with the version in Production, see MAX_F1_REGRESSION",
    "PROMETHEUS_PUSHGATEWAY_URL": "remove it: the platform pushes no metrics",
}


def warnings_about(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each foreign name that has a value."""
    return [f"{name} is set but not read: {instead}" for name, instead in INSTEAD.items() if environment.get(name)]
