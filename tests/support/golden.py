"""Digests of golden features; it needs no package, so that it runs on any Python alone."""

import hashlib
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nhm_assets.feedback.features import InvalidPlan, compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict

SAMPLES = 300
_CREATED = datetime(2026, 3, 1, tzinfo=UTC)


def golden_features(vectors: Path) -> list[dict[str, float]]:
    """The features of the golden plans, as far as they can be computed."""
    plans: list[dict[str, Any]] = [json.loads(line)["plan"] for line in vectors.read_text("utf-8").splitlines()]
    features = []
    for plan in plans:
        try:
            features.append(compute_features(plan))
        except InvalidPlan:
            continue
    return features


def features_digest(vectors: Path) -> str:
    """Over every bit of the features of the golden plans, and of plans drawn at random with their labels."""
    digest, rng = hashlib.blake2b(digest_size=16), random.Random(7)
    for features in golden_features(vectors):
        digest.update(_exactly(features))
    for number in range(SAMPLES):
        features = compute_features(sample_plan(rng, f"plan-{number}", _CREATED))
        label, rating = sample_verdict(rng, features, disagreement=0.1)
        digest.update(_exactly(features) + f"{label} {rating.hex()}".encode())
    return digest.hexdigest()


def _exactly(features: dict[str, float]) -> bytes:
    return " ".join(f"{name}={value.hex()}" for name, value in features.items()).encode()
