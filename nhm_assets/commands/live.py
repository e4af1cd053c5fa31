"""What works at this moment: the daemon, the last runs, the cluster. `nhm status` shows it; nothing of it is a fault.

Runs can be started by hand without a daemon, and not every installation has a cluster.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun, RunRecord

Facts = dict[str, Any]

RUNS: Final = 5
_ALIVE: Final = timedelta(minutes=2)
"""A daemon says every half minute that it lives."""


def daemon_facts(instance: "DagsterInstance", now: datetime) -> Facts:
    """Whether Dagster's daemon works, from the heartbeats of its parts.

    Args:
        instance: that the heartbeats are in.
        now: the time of the clock, not that of NHM_NOW.
    """
    beats = [heartbeat.timestamp for heartbeat in instance.get_daemon_heartbeats().values()]
    if not beats:
        return {"works": False, "heartbeat": None, "sentence": "no daemon has run yet: nothing starts by itself"}
    last = datetime.fromtimestamp(max(beats), UTC)
    works = now - last <= _ALIVE
    consequence = "" if works else ": nothing starts by itself"
    sentence = f"last heartbeat {last:%Y-%m-%d %H:%M:%S} UTC{consequence}"
    return {"works": works, "heartbeat": last.isoformat(), "sentence": sentence}


def run_facts(instance: "DagsterInstance") -> list[Facts]:
    """The last runs, newest first."""
    from nhm_assets.runs.queries import ended_as

    return [
        {
            "run": record.dagster_run.run_id,
            "job": record.dagster_run.job_name,
            "partition": _partition(record.dagster_run),
            "subject": _subject(record.dagster_run),
            "at": record.create_timestamp.replace(tzinfo=UTC).isoformat(),
            "ended": ended_as(record.dagster_run),
            "reason": _reason(instance, record),
        }
        for record in instance.get_run_records(limit=RUNS)
    ]


def _reason(instance: "DagsterInstance", record: "RunRecord") -> str | None:
    from dagster import DagsterRunStatus

    from nhm_assets.runs.failure_cause import reason_of
    from nhm_assets.runs.liveness import is_dead

    if record.dagster_run.status is DagsterRunStatus.STARTED and is_dead(instance, record):
        return "its process is gone: the next `nhm retrain` or the daemon ends it"
    return reason_of(instance, record.dagster_run) or None


def _subject(run: "DagsterRun") -> str:
    """What it was about: week and specialist of a retraining, and the job of every other run with whom it was for."""
    from nhm_assets.domain.dagster_names import JOB
    from nhm_assets.domain.outcomes import SPECIALIST_TAG
    from nhm_assets.runs.queries import ASSET_JOB

    about = (_partition(run) or run.tags.get(SPECIALIST_TAG, "")).replace("|", " ")
    job = "" if about and run.job_name in (JOB, ASSET_JOB) else run.job_name
    return f"{job} {about}".strip()


def _partition(run: "DagsterRun") -> str | None:
    from nhm_assets.runs.tags import PARTITION_TAG

    return run.tags.get(PARTITION_TAG)


def cluster_facts(settings: Settings) -> Facts | None:
    """Whether the specialists' cluster answers; None if this process has no access to one, as in most pods."""
    from nhm_assets.resource_factories import kubernetes_of
    from resources.errors import ServiceError

    kubernetes = kubernetes_of(settings)
    if not kubernetes.has_access:
        return None
    namespace, deployment = settings.deployment_of(all_specialists()[0])
    try:
        with kubernetes.cluster() as cluster:
            cluster.deployment(namespace, deployment)
    except ServiceError as error:
        return {"works": False, "address": kubernetes.address, "sentence": str(error)}
    return {"works": True, "address": kubernetes.address, "sentence": f"Deployment {deployment} is in {namespace}"}
