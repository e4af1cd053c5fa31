"""The keys of all assets."""

from typing import Final

from dagster import AssetKey

SPECIALIST_FEEDBACK: Final = AssetKey("specialist_feedback")
SPECIALIST_OPINIONS: Final = AssetKey("specialist_opinions")
COGNITIVE_PLANS: Final = AssetKey("cognitive_plans")
PLAN_FEATURES: Final = AssetKey("plan_features")
FEEDBACK_QUARANTINE: Final = AssetKey("feedback_quarantine")
FEEDBACK_DATASET: Final = AssetKey("feedback_dataset")
TRAINED_MODEL: Final = AssetKey("trained_model")
EVALUATION_REPORT: Final = AssetKey("evaluation_report")
PROMOTED_VERSION: Final = AssetKey("promoted_version")
PRODUCTION_MODELS: Final = AssetKey("production_models")
SPECIALIST_ROLLOUT: Final = AssetKey("specialist_rollout")
SERVED_QUALITY: Final = AssetKey("served_quality")
