"""A context manager that is entered in a thread is left in any case."""

import threading
from contextlib import contextmanager

import pytest

from nhm_assets.domain.meanwhile import entered_meanwhile


class Resource:
    def __init__(self, error: Exception | None = None) -> None:
        self.may_start, self.events, self.error = threading.Event(), [], error

    @contextmanager
    def held(self):
        self.may_start.wait(90)
        if self.error:
            raise self.error
        self.events.append("entered")
        try:
            yield "value"
        finally:
            self.events.append("left")


def test_it_is_entered_while_the_caller_goes_on_and_left_at_the_end():
    resource = Resource()
    with entered_meanwhile(resource.held()) as ready:
        assert resource.events == []
        resource.may_start.set()
        assert ready() == "value"
        assert resource.events == ["entered"]
    assert resource.events == ["entered", "left"]


def test_its_error_is_raised_where_it_is_waited_for():
    resource = Resource(OSError("no disk"))
    resource.may_start.set()
    with entered_meanwhile(resource.held()) as ready, pytest.raises(OSError, match="no disk"):
        ready()


def test_it_is_left_too_if_the_caller_is_interrupted_before_it_is_entered():
    resource = Resource()
    threading.Timer(0.2, resource.may_start.set).start()
    with pytest.raises(KeyboardInterrupt), entered_meanwhile(resource.held()):
        raise KeyboardInterrupt
    assert resource.events == ["entered", "left"]
