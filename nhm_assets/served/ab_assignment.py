"""Which variant of an A/B test a plan is given to, as ABTestingSpecialist computes it."""

from hashlib import sha256
from typing import Final

from nhm_assets.domain.ab_records import MODEL_A, MODEL_B

_LARGEST: Final = 2**64 - 1


def hash_value(plan_id: str, intent_id: str, seed: str) -> float:
    """A number from 0 to 1 that depends on the ids alone: the first 8 bytes of SHA-256, big-endian."""
    digest = sha256(f"{plan_id}{intent_id}{seed}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / _LARGEST


def variant_of(plan_id: str, intent_id: str, seed: str, split: float) -> str:
    """The variant. `split` is the share of the plans that `model_a` gets."""
    return MODEL_A if hash_value(plan_id, intent_id, seed) < split else MODEL_B
