"""Fixtures of the training stage's tests."""

from tests.support.platforms import module_platform
from tests.support.versions import versions

__all__ = ["module_platform", "versions"]
