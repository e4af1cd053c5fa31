"""From the click to the end of a run that the daemon launches, on a platform that `nhm dev` started.

`python -m benchmarks.click_to_end [COMMIT]` compares two platforms on the sample feedback: that of this code, and that
of a commit (by default, the last one before retraining became faster; it needs the repository's history, and without it
only this code is measured). In turns, each is started, retrains a specialist that a person starts in the UI, and is
stopped again, so that it has the machine for itself. What is measured is from the request to the time at which Dagster
recorded the end of the run. The first run after each start is not counted.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.measuring import PROJECT, clean_environment, rounds
from benchmarks.results import Measured, at_most, measured, report
from benchmarks.trees import has_commit, tree_of

if TYPE_CHECKING:
    from nhm_assets.domain.specialists import Specialist
    from tests.support.webserver import Webserver

TITLE: Final = "A run that the daemon launches"
BEFORE: Final = "ae71e2f8cd58d9d259b9177b32486bfda00e4592"
"""The last commit before importances were asked for at once, and Dagster's SQLite files stayed open."""
_LONGEST_S: Final = 300
_PAUSE_S: Final = 10
"""After a run, sensors look at how it ended."""
_NO_OTHER_RUNS: Final = dict.fromkeys(("VOLUME_THRESHOLD", "RETRAINING_FEEDBACK_THRESHOLD"), "1000000")
"""The sensor starts none. The setting has had two names."""
_NHM: Final = [sys.executable, "-c", "from nhm_assets.cli import main; main()"]


@dataclass(frozen=True)
class _Platform:
    webserver: "Webserver"

    def seconds(self, specialist: "Specialist", week: str) -> float:
        """From the request of a run to its end."""
        from nhm_assets.domain.partitions import Partition

        time.sleep(_PAUSE_S)
        began = time.time()
        run_id = self.webserver.launch(Partition(week, specialist))
        while (ended := self.webserver.end_of(run_id)) is None:
            assert time.time() - began < _LONGEST_S, f"run {run_id} does not end"
            time.sleep(0.5)
        assert ended.status == "SUCCESS", f"run {run_id}: {ended.status}"
        return ended.at - began


@contextmanager
def _platform(tree: Path, home: Path) -> Iterator[_Platform]:
    """`nhm dev` of the code in this folder; the first time, after `nhm seed`."""
    from tests.support.daemon import becomes_true
    from tests.support.ports import free_port
    from tests.support.webserver import Webserver

    settings = {"NHM_HOME": str(home), "EXPORTER_PORT": str(free_port()), "PYTHONPATH": str(tree)}
    environment = clean_environment() | settings | _NO_OTHER_RUNS
    if not home.exists():
        subprocess.run([*_NHM, "seed"], cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    webserver = Webserver(free_port())
    command = [*_NHM, "dev", "--port", str(webserver.port), "--mlflow-port", str(free_port())]
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        assert becomes_true(webserver.is_ready, timeout_s=_LONGEST_S, every_s=2), (home / "dev.log").read_text()
        yield _Platform(webserver)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(commit: str = BEFORE) -> list[Measured]:
    """Let the platforms retrain in turns."""
    from nhm_assets.domain.partitions import last_closed_week, weeks_before
    from nhm_assets.domain.specialists import FIVE

    week = last_closed_week(datetime.now(UTC))
    specialists = FIVE[: rounds(len(FIVE))]
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name:
        trees = {"now": PROJECT}
        if has_commit(commit):
            trees["before"] = tree_of(commit, Path(name) / "before")
        found: dict[str, list[float]] = {kind: [] for kind in trees}
        for number, specialist in enumerate(specialists):
            for kind in list(trees)[:: 1 if number % 2 else -1]:
                with _platform(trees[kind], Path(name) / f"home-{kind}") as platform:
                    platform.seconds(specialist, weeks_before(week, 2)[1])
                    found[kind].append(platform.seconds(specialist, week))
                print(f"click_to_end: {specialist}, {kind}: {found[kind][-1]:.1f} s", file=sys.stderr)
    return _figures(found)


def _figures(found: Mapping[str, list[float]]) -> list[Measured]:
    figures = [measured("a retraining from click to end", found["now"])]
    if before := found.get("before"):
        figures.append(measured("the same before retraining became faster", before))
        ratios = [now / then for now, then in zip(found["now"], before, strict=True)]
        figures.append(at_most("a retraining from click to end : before it became faster", ratios, 0.5))
    return figures


if __name__ == "__main__":
    report(TITLE, run(*sys.argv[1:2]))
