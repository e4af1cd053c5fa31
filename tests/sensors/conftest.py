"""The sensors' tests look at records of runs, and retrain next to nothing."""

from tests.support.platforms import module_platform
from tests.support.wiped import session_platform
from tests.support.wiped import wiped as platform

__all__ = ["module_platform", "platform", "session_platform"]
