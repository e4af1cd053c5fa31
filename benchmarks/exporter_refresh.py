"""One refresh of the exporter, at 20,000 runs of history against 100, and at 100 specialists against 5; its memory.

`python -m benchmarks.exporter_refresh` makes histories: runs and datasets in Dagster, versions in MLflow, entries
of the audit log in a real mongod of its own. A few real rows are written by the libraries, and copied in their
databases. The exporters of both histories take turns in one process, and the median of the rounds counts. The first
refresh of an exporter, which reads more, is shown by itself. The specialists of a process are its configuration, so
exporters of 5 and of 100 take turns in processes of their own. Memory is that of `nhm exporter` alone.
"""

import json
import logging
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exporter_process import free_port, running, wait_for_sources
from benchmarks.measuring import child, clean_environment, peak_memory_mb, rounds
from benchmarks.results import Measured, at_most, measured, report
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

TITLE = "A refresh of the exporter"
SMALL, LARGE = 100, 20_000
FEW, MANY = 5, 100
RUNS_OF_THESE = 2000
TURNS = rounds(3)
ROUNDS = rounds(20)
_WEEKS = 5
"""Weeks of each specialist whose real runs and datasets are copied."""
_LARGEST_MB = 300


def _settings(folder: Path, count: int) -> Settings:
    return Settings.load().model_copy(update={"nhm_home": folder / str(count), "mongodb_database": f"history_{count}"})


@contextmanager
def _instance(folder: Path, count: int) -> Iterator[Any]:
    from dagster import DagsterInstance

    home = folder / str(count) / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    with DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def seed(folder: Path) -> None:
    """Body of a process that makes both histories."""
    logging.disable(logging.CRITICAL)
    for count in (SMALL, LARGE):
        _seed(folder, count)
    print(json.dumps({"seeded": SMALL + LARGE}))


def _seed(folder: Path, count: int) -> None:
    _seed_dagster(folder, count)
    _seed_mlflow(_settings(folder, count), count)
    _seed_mongodb(_settings(folder, count), count)


def _seed_dagster(folder: Path, count: int) -> None:
    from dagster import AssetMaterialization, DagsterRun, DagsterRunStatus

    from nhm_assets.domain.dagster_names import JOB
    from nhm_assets.domain.outcomes import Outcome, decided_tags
    from nhm_assets.domain.partitions import Partition, weeks
    from nhm_assets.runs.queries import dimension_tags
    from nhm_assets.runs.tags import PARTITION_TAG

    with _instance(folder, count) as instance:
        for week in weeks().get_partition_keys()[-_WEEKS - 1 : -1]:
            for specialist in all_specialists():
                partition = Partition(week, specialist)
                tags = {PARTITION_TAG: str(partition.key), **dimension_tags(partition)}
                reason = "held by f1_threshold: F1 0.689 is below the required 0.720"
                tags |= decided_tags(Outcome.HELD, reason, inherited=tags)
                run = DagsterRun(JOB, str(uuid.uuid4()), status=DagsterRunStatus.SUCCESS, tags=tags)
                instance.run_storage.add_run(run)
                window = {"window": [partition.week_end.isoformat(), partition.week_end.isoformat()]}
                for asset in ("feedback_dataset", "evaluation_report"):
                    made = AssetMaterialization(asset, partition=str(partition.key), metadata=window)
                    instance.report_runless_asset_event(made)
    real = _WEEKS * len(all_specialists())
    (runs,) = folder.joinpath(str(count)).rglob("runs.db")
    _copy(runs, "runs", count - real, _other_run)
    (events,) = folder.joinpath(str(count)).rglob("index.db")
    # What was there first is newest: the copies get lower numbers.
    _copy(events, "event_logs", 2 * (count - real), lambda row, number: row | {"id": -number})


def _other_run(row: dict[str, Any], _: int) -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    long_ago = {"create_timestamp": "2026-01-05 00:00:00.000000", "update_timestamp": "2026-01-05 00:00:00.000000"}
    return row | long_ago | {"id": None, "run_id": run_id, "run_body": row["run_body"].replace(row["run_id"], run_id)}


def _copy(file: Path, table: str, count: int, change: Callable[[dict[str, Any], int], dict[str, Any]]) -> None:
    """Add changed copies of the rows of a table; runs get the tags of the run that they are a copy of."""
    with sqlite3.connect(file) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute(f"select * from {table}")]  # noqa: S608 - our own names
        places = ", ".join(f":{name}" for name in rows[0])
        copies = [(rows[number % len(rows)], change(rows[number % len(rows)], number)) for number in range(count)]
        database.executemany(f"insert into {table} values ({places})", [copy for _, copy in copies])  # noqa: S608
        if table == "runs":
            tags: dict[str, list[tuple[str, str]]] = {}
            for run_id, key, value in database.execute("select run_id, key, value from run_tags"):
                tags.setdefault(run_id, []).append((key, value))
            database.executemany(
                "insert into run_tags (run_id, key, value) values (?, ?, ?)",
                [(copy["run_id"], *tag) for row, copy in copies for tag in tags[row["run_id"]]],
            )


def _seed_mlflow(settings: Settings, count: int) -> None:
    from nhm_assets.registry.vocabulary import PRODUCTION, PRODUCTION_ALIAS
    from nhm_assets.resource_factories import mlflow_of

    with mlflow_of(settings).client() as client:
        for specialist in all_specialists():
            model = specialist.registered_model
            client.create_registered_model(model)
            version = client.create_model_version(model, str(settings.nhm_home)).version
            client.transition_model_version_stage(model, version, PRODUCTION)
            client.set_registered_model_alias(model, PRODUCTION_ALIAS, version)

    def archived(row: dict[str, Any], number: int) -> dict[str, Any]:
        return row | {"version": number // len(all_specialists()) + 2, "current_stage": "Archived"}

    _copy(settings.nhm_home / "mlflow" / "mlflow.db", "model_versions", count - len(all_specialists()), archived)


def _seed_mongodb(settings: Settings, count: int) -> None:
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.registry.foreign_moves import index_unsettled_moves
    from nhm_assets.registry.promotion_lock import hold_lock
    from nhm_assets.resource_factories import mongo_of
    from nhm_assets.runs.triggers import TRIGGERS

    now = datetime.now(UTC)
    with mongo_of(settings).database() as database:
        for specialist in all_specialists():
            entry: dict[str, Any] = {
                "model": specialist.registered_model,
                "kind": "held",
                "at": now,
                "reason": "x" * 1500,
            }
            database[AUDIT_LOG].insert_many([dict(entry) for _ in range(3 * count // len(all_specialists()))])
            # `hold_lock` and `index_unsettled_moves` make the indexes, as the first promotion and the sensor do.
            fields = {"kind": "promotion", "at": now}
            with hold_lock(database[AUDIT_LOG], entry["model"], fields, recover=lambda _: None, wait_s=1) as lock:
                lock.discard()
        index_unsettled_moves(database[AUDIT_LOG])
        database[TRIGGERS].insert_many([{"specialist": "technical", "number": number} for number in range(count)])


def measure(folder: Path) -> None:
    """Body of the measuring process: the first refresh of either exporter, and then round by round."""
    logging.disable(logging.CRITICAL)
    with _instance(folder, SMALL) as small, _instance(folder, LARGE) as large:
        exporters = [_exporter(folder, SMALL, small), _exporter(folder, LARGE, large)]
        first = [_refreshed(exporter) for exporter in exporters]
        later = [[_refreshed(exporter) for exporter in exporters] for _ in range(ROUNDS)]
    print(json.dumps({"first": first, "later": later}))


def refreshes(folder: Path, specialists: int) -> None:
    """Body of a process with the exporter of so many specialists: the seconds of its later refreshes."""
    logging.disable(logging.CRITICAL)
    count = RUNS_OF_THESE + specialists
    _settings(folder, count)
    if not (folder / str(count)).exists():
        _seed(folder, count)
    with _instance(folder, count) as instance:
        exporter = _exporter(folder, count, instance)
        _refreshed(exporter)
        print(json.dumps([_refreshed(exporter) for _ in range(ROUNDS)]))


def memory_mb(folder: Path, count: int, environment: dict[str, str]) -> float:
    """The largest resident set of `nhm exporter` within twenty refreshes, beside an MLflow server."""
    home, scripts = folder / str(count), Path(sys.executable).parent
    mlflow, port = free_port(), free_port()
    database = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    served = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    settings = {
        "NHM_HOME": str(home),
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        "MONGODB_DATABASE": f"history_{count}",
        "EXPORTER_REFRESH_S": "1",
    }
    server = [scripts / "mlflow", "server", "--port", str(mlflow), "--workers", "1", "--backend-store-uri", database]
    exporter = [scripts / "nhm", "exporter", "--address", "127.0.0.1", "--port", str(port)]
    with (
        running(server, clean_environment() | served),
        running(exporter, clean_environment() | environment | settings) as process,
    ):
        wait_for_sources(port)
        time.sleep(ROUNDS)
        wait_for_sources(port)
        return peak_memory_mb(process.pid)


def _exporter(folder: Path, count: int, instance: Any) -> Any:
    from nhm_assets.monitoring.exporter import Exporter

    return Exporter.of(_settings(folder, count), lambda: instance)


def _refreshed(exporter: Any) -> float:
    started = time.perf_counter()
    exporter.refresh()
    seconds = time.perf_counter() - started
    assert all(source.readings for source in exporter.sources)
    return seconds


def run() -> list[Measured]:
    """Seed and measure."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongod") as uri:
        environment = {"MONGODB_URI": uri}
        print(f"exporter_refresh: histories of {SMALL:,} and {LARGE:,} runs", file=sys.stderr)
        child(["benchmarks.exporter_refresh", "seed", name], environment)
        print("exporter_refresh: refreshes", file=sys.stderr)
        refreshed = child(["benchmarks.exporter_refresh", "measure", name], environment)
        print("exporter_refresh: specialists", file=sys.stderr)
        of_many = _of_specialists(Path(name), environment)
        print("exporter_refresh: memory", file=sys.stderr)
        largest_mb = memory_mb(Path(name), LARGE, environment)
        largest_of_many_mb = memory_mb(Path(name), RUNS_OF_THESE + MANY, _environment_of(Path(name), MANY, environment))
    small, large = np.array(refreshed["later"]).T
    few, many = (np.array(of_many[number]) for number in (FEW, MANY))
    return [
        measured(f"the first refresh at {LARGE:,} runs", refreshed["first"][1] * 1000, "ms", 0),
        measured(f"a later refresh at {SMALL:,} runs", small * 1000, "ms", 0),
        measured(f"the same at {LARGE:,}", large * 1000, "ms", 0),
        at_most(f"a refresh at {LARGE:,} runs : at {SMALL:,}", large / small, 1.5),
        measured(f"a later refresh at {FEW} specialists", few * 1000, "ms", 0),
        measured(f"the same at {MANY}", many * 1000, "ms", 0),
        at_most(f"a refresh at {MANY} specialists : at {FEW}", many / few, 3),
        at_most(f"memory at {LARGE:,} runs", largest_mb, _LARGEST_MB, "MB", 0),
        at_most(f"memory at {MANY} specialists", largest_of_many_mb, _LARGEST_MB, "MB", 0),
    ]


def _of_specialists(folder: Path, environment: dict[str, str]) -> dict[int, list[float]]:
    """The median of a later refresh in each turn, by the number of specialists."""
    seconds: dict[int, list[float]] = {FEW: [], MANY: []}
    for _ in range(TURNS):
        for number, of_it in seconds.items():
            variables = _environment_of(folder, number, environment)
            turn = child(["benchmarks.exporter_refresh", "specialists", str(folder), str(number)], variables)
            of_it.append(float(np.median(turn)))
    return seconds


def _environment_of(folder: Path, number: int, environment: dict[str, str]) -> dict[str, str]:
    file = folder / f"{number}.yaml"
    file.write_text("".join(f"- name: specialist-{one}\n" for one in range(number)))
    return environment | {"SPECIALISTS_FILE": str(file)}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed", folder]:
            seed(Path(folder))
        case ["measure", folder]:
            measure(Path(folder))
        case ["specialists", folder, number]:
            refreshes(Path(folder), int(number))
        case _:
            report(TITLE, run())
