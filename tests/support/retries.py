"""Steps that retry, and services that are away until they do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.platform import Platform
from tests.support.processes import eventually
from tests.support.proxies import Proxy

EAGER = {"service_retries": 6, "service_retry_delay_s": 0.2, "mongodb_timeout_s": 1.0, "mlflow_timeout_s": 5.0}


def retry_warnings(platform: Platform, run_id: str | None = None) -> list[str]:
    """What the log of a run, by default the newest one, says about retries."""
    run_ids = [run_id] if run_id else [run.run_id for run in platform.instance.get_runs(limit=1)]
    entries = [entry for each in run_ids for entry in platform.instance.all_logs(each)]
    return [entry.user_message for entry in entries if ". Retry " in entry.user_message]


@contextmanager
def away_until_retry(platform: Platform, proxy: Proxy) -> Iterator[None]:
    """Nobody passes the proxy until the newest run has logged its first retry."""
    proxy.shut()

    def open_after_retry() -> None:
        eventually(lambda: bool(retry_warnings(platform)))
        proxy.open()

    opening = threading.Thread(target=open_after_retry)
    opening.start()
    yield
    opening.join()
