"""Five hundred specialists: a tick of the volume sensor, one of the weekly schedule, and loading the code location.

`python -m benchmarks.many_specialists` measures on a real mongod and a Dagster instance of its own. Every specialist
has datasets of `WEEKS` weeks, whose runs were used, and new feedback. The code location is loaded by a code server,
with 5 specialists and with 500 in turns, and answers with all of its definitions.
"""

import json
import logging
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.documents import NOW
from benchmarks.measuring import PROJECT, child, clean_environment, rounds
from benchmarks.results import Measured, at_most, measured, report
from nhm_assets.demo.load import make_indexes
from nhm_assets.domain.partitions import Partition, first_week, last_closed_week, weeks_before
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.resource_factories import mongo_of
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

Document = dict[str, Any]

TITLE = "Five hundred specialists"
FEW, MANY = 5, 500
WEEKS = 4
NEW = 90
"""New feedback of each specialist: fewer than what a retraining needs."""
ROUNDS = rounds(5)
_LEARNED = NOW - timedelta(days=2)
_LIMIT_S = 10


def _specialists_file(folder: str, count: int) -> str:
    path = Path(folder) / f"specialists-{count}.yaml"
    path.write_text("".join(f"- name: unit-{number:03d}\n" for number in range(count)))
    return str(path)


def _settings() -> Settings:
    return Settings.load().model_copy(update={"nhm_now": NOW})


def _seed(settings: Settings, instance: Any) -> None:
    from dagster import AssetMaterialization

    with mongo_of(settings).database() as database:
        make_indexes(database, settings)
        feedback = [_feedback(specialist, number) for number in range(2 * NEW) for specialist in all_specialists()]
        database["specialist_feedback"].insert_many(feedback, ordered=False)
    for ago, week in reversed(list(enumerate(weeks_before(last_closed_week(NOW), WEEKS)))):
        learned = _LEARNED - timedelta(weeks=ago)
        for specialist in all_specialists():
            window = {"window": [(learned - timedelta(days=30)).isoformat(), learned.isoformat()]}
            made = AssetMaterialization("feedback_dataset", partition=Partition(week, specialist).key, metadata=window)
            instance.report_runless_asset_event(made)


def _feedback(specialist: Specialist, number: int) -> Document:
    """The first half is older than what was learned; every other time is a string."""
    moment = _LEARNED + timedelta(days=2) * ((number - NEW + 0.5) / NEW)
    return {
        "feedback_id": f"feedback-{specialist}-{number:07d}",
        "opinion_id": f"opinion-{number:07d}",
        "plan_id": f"plan-{number:07d}",
        "specialist_type": str(specialist),
        "human_rating": 0.8,
        "human_recommendation": "approve",
        "submitted_at": moment if number % 2 else moment.isoformat(),
    }


def measure() -> None:
    """Body of the measuring process: seconds of the ticks."""
    from dagster import DagsterInstance, build_schedule_context, build_sensor_context

    from nhm_assets.automation.weekly_schedule import weekly_schedule
    from sensors.feedback_volume import feedback_volume_sensor

    logging.disable(logging.CRITICAL)
    settings = _settings()
    resources = {"settings": settings, "mongo": mongo_of(settings)}
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, DagsterInstance.local_temp(folder) as instance:
        _seed(settings, instance)

        def volume() -> None:
            result: Any = feedback_volume_sensor(build_sensor_context(instance=instance, resources=resources))
            said = result.skip_reason.skip_message.split(" · ")
            counted = [line.split(" feedback")[0] for line in said]
            assert counted == [f"{one}: {NEW} of 100" for one in all_specialists()], said

        def weekly() -> None:
            context = build_schedule_context(instance=instance, scheduled_execution_time=NOW, resources=resources)
            assert len(list(weekly_schedule()(context))) == len(all_specialists())
            with mongo_of(settings).database() as database:
                database["retraining_triggers"].delete_many({})

        print(json.dumps({"volume": _seconds(volume), "weekly": _seconds(weekly)}))


def _seconds(work: Callable[[], None]) -> list[float]:
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found


def _loaded(environment: dict[str, str], folder: str) -> float:
    """Seconds in which a new code server loads the code location, and another process gets its definitions."""
    dagster = str(Path(sysconfig.get_path("scripts")) / "dagster")
    started = time.perf_counter()
    subprocess.run(
        [dagster, "definitions", "validate", "-m", "nhm_assets.definitions"],
        cwd=folder,
        env=clean_environment() | {"NHM_HOME": folder, "DAGSTER_HOME": "", "PYTHONPATH": str(PROJECT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def keys() -> None:
    """Body of a process that lists the partitions of one hundred weeks."""
    from nhm_assets.domain.partitions import specialist_weeks_of

    Settings.load()
    now = NOW + timedelta(weeks=100)
    first = first_week(now, 100)
    partitions = specialist_weeks_of(all_specialists(), first)
    started = time.perf_counter()
    count = len(partitions.get_partition_keys(current_time=now))
    print(json.dumps({"seconds": time.perf_counter() - started, "keys": count}))


def run() -> list[Measured]:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, embedded_mongod(Path(folder) / "db") as uri:
        files = {count: {"SPECIALISTS_FILE": _specialists_file(folder, count)} for count in (FEW, MANY)}
        print(f"many_specialists: ticks with {MANY} specialists", file=sys.stderr)
        ticks = child(["benchmarks.many_specialists", "measure"], {"MONGODB_URI": uri} | files[MANY])
        print("many_specialists: loads", file=sys.stderr)
        loads = [{count: _loaded(files[count], folder) for count in (FEW, MANY)} for _ in range(ROUNDS)]
        listed = child(["benchmarks.many_specialists", "keys"], files[MANY])
    return [
        at_most(f"a tick of feedback_volume_sensor, {MANY} specialists", ticks["volume"], _LIMIT_S, "s"),
        at_most(f"a tick of weekly_retraining_schedule, {MANY} runs requested", ticks["weekly"], _LIMIT_S, "s"),
        measured(f"loading the code location, {FEW} specialists", [one[FEW] for one in loads]),
        at_most(f"loading it with {MANY} specialists : with {FEW}", [one[MANY] / one[FEW] for one in loads], 2),
        measured(f"listing its {listed['keys']:,} partitions of 100 weeks", listed["seconds"], digits=2),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure"]:
            measure()
        case ["keys"]:
            keys()
        case _:
            report(TITLE, run())
