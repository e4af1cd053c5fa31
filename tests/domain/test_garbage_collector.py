"""The collector is off while it is paused, and afterwards as it was before."""

import gc
from collections.abc import Iterator

import pytest

from nhm_assets.domain.garbage_collector import gc_paused, startup_without_gc


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The collector is on, and skips what the tests have imported."""
    yield
    gc.freeze()
    gc.enable()


@pytest.mark.parametrize("pause", [gc_paused, startup_without_gc])
def test_the_collector_is_off_only_while_it_is_paused(pause):
    with pause():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("pause", [gc_paused, startup_without_gc])
def test_an_inner_pause_does_not_end_the_outer_one(pause):
    with gc_paused():
        with pause():
            pass
        assert not gc.isenabled()


@pytest.mark.parametrize("pause", [gc_paused, startup_without_gc])
def test_an_error_ends_the_pause(pause):
    with pytest.raises(ZeroDivisionError), pause():
        1 / 0  # noqa: B018 - raises
    assert gc.isenabled()


def test_only_startup_excludes_objects_from_later_scans():
    gc.unfreeze()
    with gc_paused():
        pass
    assert gc.get_freeze_count() == 0
    with startup_without_gc():
        pass
    assert gc.get_freeze_count() > 0
