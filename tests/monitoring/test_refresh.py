"""What a source said is shown only while it is fresh, and a scrape never waits for a source."""

import threading

import pytest

from nhm_assets.monitoring.metric import Kind, Metric, Readings, Source
from nhm_assets.monitoring.refresh import RefreshedSource
from tests.support.processes import eventually

METRIC = Metric("nhm_something", Kind.GAUGE, (), "", "Something.", Source.MONGODB)


def readings() -> Readings:
    said = Readings()
    said.put(METRIC, 1.0)
    return said


class Service:
    """A source that can be down, or hang."""

    def __init__(self) -> None:
        self.down = False
        self.answers = threading.Event()
        self.answers.set()

    def read(self) -> Readings:
        self.answers.wait(90)
        if self.down:
            raise ConnectionError("nobody listens")
        return readings()


def refreshed(service: Service, *, every_s: float = 60) -> RefreshedSource:
    source = RefreshedSource(Source.MONGODB, service.read, every_s=every_s)
    source.refresh()
    return source


def test_nothing_is_shown_before_the_first_refresh():
    source = RefreshedSource(Source.MONGODB, Service().read, every_s=60)
    assert (source.readings, source.age_s, source.duration_s) == (None, None, None)


def test_what_was_read_is_shown():
    assert refreshed(Service()).readings == readings()


def test_after_a_failure_nothing_old_is_shown_and_the_age_goes_on(caplog: pytest.LogCaptureFixture):
    service = Service()
    source = refreshed(service)
    service.down = True
    source.refresh()
    source.refresh()
    assert source.readings is None
    assert source.age_s is not None
    assert [record.message for record in caplog.records] == [
        "mongodb cannot be read, so its metrics are absent: nobody listens"
    ]
    service.down = False
    source.refresh()
    assert source.readings == readings()
    assert caplog.records[-1].message == "mongodb can be read again"


def test_a_source_that_hangs_is_not_shown_for_longer_than_three_intervals():
    service = Service()
    source = refreshed(service, every_s=0.1)
    service.answers.clear()
    source.start()
    while (age_s := source.age_s) is not None and source.readings == readings():
        assert age_s <= 3 * 0.1
    assert source.readings is None
    service.answers.set()
    assert eventually(lambda: source.readings is not None)
    source.stop()


def test_a_value_with_other_labels_than_the_metric_is_refused():
    with pytest.raises(ValueError, match="nhm_something has the labels"):
        Readings().put(METRIC, 1.0, "too much")
