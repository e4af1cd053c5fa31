"""Dagster instances on SQLite, as deploy/local has them and as Dagster has them by itself."""

from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from deploy.dagster_yaml import PARTS, ROOT
from tests.support.dagster_internals import InstanceRef

SQLITE_PART = ROOT / PARTS / "sqlite.yaml"


def overrides(folder: Path, **others: Any) -> dict[str, Any]:
    """What an instance in this folder needs, to have its storage as deploy/local has it."""
    config = {"base_dir": str(folder)}
    pooled = {"module": "nhm_assets.instance.sqlite_storage", "class": "PooledSqliteStorage", "config": config}
    return {"telemetry": {"enabled": False}, "storage": {"custom": pooled}, **others}


def pooled_instance(folder: Path, **others: Any) -> DagsterInstance:
    """An instance whose connections stay open."""
    return DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides(folder, **others)))


def plain_instance(folder: Path) -> DagsterInstance:
    """An instance with a `dagster.yaml` that says nothing about storage."""
    return DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}})
