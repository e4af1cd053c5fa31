"""Fixtures of the registry's tests."""

from tests.support.registries import log, registry

__all__ = ["log", "registry"]
