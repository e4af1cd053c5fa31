"""Fixtures of these tests."""

from tests.support.registries import registry

__all__ = ["registry"]
