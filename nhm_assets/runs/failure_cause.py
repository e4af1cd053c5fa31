"""Why a run broke: a service, the data, the code, a refused request, or because its process was killed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dagster import DagsterEventType, DagsterInstance

from nhm_assets.domain.check_result import reason_in
from nhm_assets.domain.dagster_names import OP_JOBS
from nhm_assets.domain.errors import NhmError, UsageError
from nhm_assets.domain.outcomes import REASON_TAG, BrokenBy
from nhm_assets.domain.partitions import Partition, first_week
from nhm_assets.runs.queries import is_increment, is_unexplained, only_measures
from nhm_assets.runs.tags import PARTITION_TAG
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from dagster import DagsterRun

    from nhm_assets.domain.dagster_internals import SerializableErrorInfo

OurError = type[NhmError] | type[ServiceError]

_FOREIGN: Final = {
    "pymongo.": BrokenBy.MONGODB,
    "mlflow.": BrokenBy.MLFLOW,
    "kubernetes.": BrokenBy.KUBERNETES,
    "dagster._core.errors.DagsterAssetCheckFailedError": BrokenBy.DATA,
    "dagster._core.errors.DagsterExecutionInterruptedError": BrokenBy.KILLED,
    "sqlalchemy.exc.OperationalError": BrokenBy.STORAGE,
}
"""Start of a foreign class's full name -> what broke the run."""

_ENDED: Final = "its process ended before the run did"
_INTERRUPTED: Final = "its process was interrupted"
_OF_DAGSTER: Final = {
    "Execution was interrupted": _INTERRUPTED,
    "Sending run termination request": "it was terminated on request",
    "Canceling run from the queue": "it was canceled in the queue",
}
"""Start of what Dagster says of a run's end -> the same in our words."""

_FOREIGN_TRANSIENT: Final = (
    "sqlalchemy.exc.OperationalError",
    "pymongo.errors.AutoReconnect",
    "pymongo.errors.ExecutionTimeout",
    "pymongo.errors.NetworkTimeout",
    "pymongo.errors.NotPrimaryError",
    "pymongo.errors.ServerSelectionTimeoutError",
)
"""The same, of errors that pass: Dagster's or MLflow's database is locked or away, MongoDB chooses a new primary."""

_NO_PARTITION: Final = ("is before the partitions definition start time", "Nonexistent partition keys")
"""In what Dagster says of a run whose week or specialist is no partition any more, such as a rerun of an old run."""


@dataclass(frozen=True)
class Failure:
    """What broke a run, and the sentence that explains it.

    Attributes:
        transient: whether the same run may succeed later without anybody's help.
    """

    by: BrokenBy
    reason: str
    transient: bool = False


def failure_of(instance: DagsterInstance, run: "DagsterRun") -> Failure:
    """Read from a run's events why it failed or was canceled."""
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        error = event.step_failure_data.error if event else None
        if event and error:
            where = "" if run.job_name in OP_JOBS else f"{event.step_key}: "
            failure = _classify(where, error)
            if failure.by is BrokenBy.KILLED:
                return _killed(instance, run, where)
            if any(words in failure.reason for words in _NO_PARTITION):
                return _refused(run, where) or failure
            failed_checks = _failed_blocking_checks(instance, run)
            return replace(failure, reason=failed_checks) if failed_checks and failure.by is BrokenBy.DATA else failure
    return _killed(instance, run)


def reason_of(instance: DagsterInstance, run: "DagsterRun") -> str:
    """Why the run ended as it did, also while nobody has recorded yet why it broke; empty if nothing is known."""
    return failure_of(instance, run).reason if is_unexplained(run) else run.tags.get(REASON_TAG, "")


def retrain_command(partition: Partition, *, increment: bool) -> str:
    """The command that retrains this partition."""
    how = " --increment" if increment else ""
    return f"`nhm retrain{how} --week {partition.week} --specialist {partition.specialist}`"


def _killed(instance: DagsterInstance, run: "DagsterRun", where: str | None = None) -> Failure:
    """Of a run that was ended from outside: what is known of it, and how to run it again; None: within no step."""
    asked = {DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED}
    ends = asked | {DagsterEventType.RUN_FAILURE} if where is None else asked
    entries = instance.all_logs(run.run_id, of_type=ends)
    messages = [entry.dagster_event.message for entry in entries if entry.dagster_event]
    said = next(filter(None, messages), None) or (_ENDED if where is None else _INTERRUPTED)
    said = next((words for start, words in _OF_DAGSTER.items() if said.startswith(start)), said)
    key = run.tags.get(PARTITION_TAG)
    known = key is not None and not only_measures(run) and "|" in key
    again = retrain_command(Partition.from_key(key), increment=is_increment(run)) if key and known else "it again"
    return Failure(BrokenBy.KILLED, f"{where or ''}{said.rstrip('.')}. Run {again} unless it is retried automatically")


def _refused(run: "DagsterRun", where: str) -> Failure | None:
    """Of a run whose partition there is not: how to name one that there is."""
    specialist, _, week = run.tags.get(PARTITION_TAG, "").partition("|")
    settings = Settings.load()
    try:
        Partition.parse(week, specialist, first=first_week(settings.now(), settings.keep_weeks, settings.first_week))
    except UsageError as error:
        return Failure(BrokenBy.REFUSED, f"{where}{error}")
    return None


def _classify(where: str, error: "SerializableErrorInfo") -> Failure:
    """The first known error in the chain decides. Unknown errors count as a fault in the code."""
    chain = list(_chain(error))
    for info in chain:
        reason = f"{where}{sentence(info)}"
        if ours := _our_class(info):
            return Failure(BrokenBy(ours.broken_by), reason, ours.transient)
        if by := next((by for start, by in _FOREIGN.items() if info.message.startswith(start)), None):
            return Failure(by, reason, info.message.startswith(_FOREIGN_TRANSIENT))
    return Failure(BrokenBy.CODE, f"{where}{sentence(chain[-1])}")


def _chain(error: "SerializableErrorInfo") -> "Iterator[SerializableErrorInfo]":
    """The error and its causes, outermost first. Dagster wraps what a step raises."""
    following: SerializableErrorInfo | None = error
    while following:
        yield following
        following = following.cause


def _our_class(error: "SerializableErrorInfo") -> OurError | None:
    """Our errors are found by the name of their class, foreign ones by the full name that starts the message."""
    classes = (*_subclasses(NhmError), *_subclasses(ServiceError))
    return next((cls for cls in classes if cls.__name__ == error.cls_name), None)


def _subclasses(base: OurError) -> Iterator[OurError]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def sentence(error: "SerializableErrorInfo") -> str:
    """The error's message without the name of its class."""
    return (error.message.partition(f"{error.cls_name}: ")[2] or error.message).strip()


def _failed_blocking_checks(instance: DagsterInstance, run: "DagsterRun") -> str:
    """What the failed blocking checks say; the error that ends their step says less."""
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    return "; ".join(
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}: {reason_in(evaluation.description)}"
        for evaluation in evaluations
        if evaluation.blocking and not evaluation.passed
    )
