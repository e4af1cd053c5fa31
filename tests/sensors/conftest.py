"""The sensors' tests look at records of runs and retrain very little."""

from collections.abc import Iterator

import pytest

from resources.notifiers import Notifier
from tests.support.notified import Receiver, receiver
from tests.support.platforms import module_platform
from tests.support.wiped import session_platform
from tests.support.wiped import wiped as platform

__all__ = ["module_platform", "platform", "session_platform"]


@pytest.fixture
def hooked() -> Iterator[tuple[Receiver, Notifier]]:
    """A web server, and the notifier that sends outcomes to it."""
    with receiver() as there:
        yield there, there.notifier
