"""Five hundred specialists: ticks of the sensors and of the weekly schedule, the table of all champions, and loading
the code location.

`python -m benchmarks.many_specialists` measures on a real mongod, an MLflow and a Dagster instance of its own. Every
specialist has datasets of `WEEKS` weeks, whose runs were used, new feedback, and `VERSIONS` versions in MLflow, of
which one was promoted. The first tick of the registry sensor is that of a new process, and shows the table of all
champions. Later, nothing has changed, or one specialist has another version. The code location is loaded by a code
server, with 5 specialists and with 500 in turns, and answers with all of its definitions.
"""

import json
import logging
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
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
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

Document = dict[str, Any]

TITLE = "Five hundred specialists"
FEW, MANY = 5, 500
WEEKS = 4
VERSIONS = 20
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


def _seed_champions(settings: Settings, instance: Any) -> None:
    """Version 1 of every specialist is promoted; the others are archived."""
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.registry.promotion_lock import hold_lock

    moves = [_promoted(settings, instance, specialist) for specialist in all_specialists()]
    with sqlite3.connect(settings.nhm_home / "mlflow" / "mlflow.db") as database:
        database.execute("CREATE TEMP TABLE older AS SELECT * FROM model_versions")
        database.execute("UPDATE older SET current_stage = 'Archived'")
        for number in range(2, VERSIONS + 1):
            database.execute("UPDATE older SET version = ?, last_updated_time = last_updated_time - 60000", (number,))
            database.execute("INSERT INTO model_versions SELECT * FROM older")
    with mongo_of(settings).database() as database:
        # This makes the indexes.
        with hold_lock(database[AUDIT_LOG], "any", {"at": NOW}, recover=lambda _: None, wait_s=1) as lock:
            lock.discard()
        database[AUDIT_LOG].insert_many(moves)


def _promoted(settings: Settings, instance: Any, specialist: Specialist) -> Document:
    """Make the run in Dagster, the run in MLflow and its version; returns the entry of the audit log."""
    from dagster import DagsterRun, DagsterRunStatus

    from nhm_assets.domain.dagster_names import JOB
    from nhm_assets.domain.outcomes import Outcome, decided_tags
    from nhm_assets.runs.queries import dimension_tags
    from nhm_assets.runs.tags import PARTITION_TAG

    partition, model = Partition(last_closed_week(NOW), specialist), specialist.registered_model
    tags = {PARTITION_TAG: str(partition.key), **dimension_tags(partition)}
    tags |= decided_tags(Outcome.PROMOTED, "every gate check passed", inherited=tags)
    run = DagsterRun(JOB, str(uuid.uuid4()), status=DagsterRunStatus.SUCCESS, tags=tags)
    instance.run_storage.add_run(run)
    with mlflow_of(settings).client() as client:
        run_id = client.create_run("0").info.run_id
        for name in ("precision", "recall", "f1"):
            client.log_metric(run_id, f"test_{name}", 0.8)
        client.create_registered_model(model)
        client.create_model_version(model, str(settings.nhm_home), run_id)
    _move(settings, specialist, "1")
    entry = {"specialist": str(specialist), "model": model, "kind": "promoted", "state": "done", "version": "1"}
    decided = {"week": partition.week, "reason": "every gate check passed", "dagster_run_id": run.run_id}
    return entry | decided | {"at": NOW, "released_at": NOW}


def _move(settings: Settings, specialist: Specialist, version: str) -> None:
    from nhm_assets.registry.vocabulary import PRODUCTION, PRODUCTION_ALIAS

    model = specialist.registered_model
    with mlflow_of(settings).client() as client:
        client.transition_model_version_stage(model, version, PRODUCTION, archive_existing_versions=True)
        client.set_registered_model_alias(model, PRODUCTION_ALIAS, version)


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

        ticks = {"volume": _seconds(volume), "weekly": _seconds(weekly)}
        settings = settings.model_copy(update={"nhm_home": Path(folder)})
        print(json.dumps(ticks | _champions(settings, instance)))


def _champions(settings: Settings, instance: Any) -> dict[str, list[float]]:
    """Seconds of the registry sensor's ticks and of showing `production_models` after one outcome."""
    from dagster import build_sensor_context

    from nhm_assets.domain.asset_keys import PRODUCTION_MODELS
    from nhm_assets.promotion.production_models import show_production
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from sensors.registry import registry_sensor

    _seed_champions(settings, instance)
    mongo, mlflow, cursor = mongo_of(settings), mlflow_of(settings), ""
    resources = {"settings": settings, "mongo": mongo, "mlflow": mlflow, "notifiers": []}

    def look() -> None:
        nonlocal cursor
        context = build_sensor_context(instance=instance, resources=resources, cursor=cursor)
        said = str(registry_sensor(context).skip_message)
        assert said == "the registry shows what the audit log recorded", said
        cursor = context.cursor or ""

    def show() -> None:
        assert show_production(instance, mongo, mlflow, settings, warn=print)

    first, again = _once(look), _seconds(look)
    seconds = []
    for number in range(ROUNDS):
        specialist, version = all_specialists()[number], str(VERSIONS)
        _move(settings, specialist, version)
        entry = {"model": specialist.registered_model, "kind": "promoted", "state": "done", "version": version}
        with mongo.database() as database:
            database[AUDIT_LOG].insert_one(entry | {"reason": "", "at": settings.now(), "released_at": settings.now()})
        seconds.append(_once(show))
    assert len(instance.fetch_materializations(PRODUCTION_MODELS, limit=100).records) == ROUNDS + 1
    return {"first_look": [first], "look": again, "show": seconds}


def _seconds(work: Callable[[], None]) -> list[float]:
    return [_once(work) for _ in range(ROUNDS)]


def _once(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


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
        measured(f"the first tick of registry_sensor, {MANY} specialists", ticks["first_look"]),
        at_most(f"a later tick of registry_sensor, {MANY} specialists", ticks["look"], _LIMIT_S, "s"),
        at_most(f"production_models after an outcome, {MANY} specialists", ticks["show"], _LIMIT_S, "s"),
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
