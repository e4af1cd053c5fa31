"""Fixtures of the promotion stage's tests."""

from tests.support.registries import log, registry

__all__ = ["log", "registry"]
