"""Fixtures of the registry's tests."""

from tests.support.platforms import module_platform
from tests.support.registries import log, registry

__all__ = ["log", "module_platform", "registry"]
