"""What was to be expected of a version: the calls on the rows that it was evaluated on."""

from typing import TYPE_CHECKING, Any

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.domain.served_records import Calls
from nhm_assets.registry.audit_log import registration
from resources.errors import StorageError
from resources.storage import RecordIOManager

if TYPE_CHECKING:
    from pymongo.collection import Collection


def evaluated_calls(log: "Collection[dict[str, Any]]", storage: str, model: str, version: str | None) -> Calls:
    """The calls on test rows and folds; none if this platform has not evaluated the version on real rows."""
    report = report_of(log, storage, model, version)
    return calls_of(report) if report else Calls()


def report_of(
    log: "Collection[dict[str, Any]]", storage: str, model: str, version: str | None
) -> EvaluationReport | None:
    """The stored report on a version; None if there is none that can be read.

    Raises:
        StorageUnavailable: the store is away. A reference that is made without the report would lack the importances
            for good.
    """
    entry = registration(log, model, version) if version is not None else None
    if entry is None:
        return None
    records, asset = RecordIOManager(storage), EVALUATION_REPORT.to_user_string()
    try:
        files = records.files_of(asset, entry["specialist"], entry["week"])
    except StorageError as error:
        if error.transient:
            raise
        return None
    for file in files:
        try:
            report = records.read(file, asset, EvaluationReport)
        except DataError:
            # A newer release recorded it.
            continue
        except StorageError as error:
            if error.transient:
                raise
            continue
        if (report.model, report.version) == (model, version):
            return report
    return None


def calls_of(report: EvaluationReport) -> Calls:
    """The calls on the rows of a report that its candidate had not learned; none if its test rows are synthetic."""
    if report.synthetic_test:
        return Calls()
    if report.pooled:
        return Calls(**report.pooled.model_dump(include={"tp", "fp", "fn", "tn"}))
    table = report.candidate.confusion
    tp, called = table[APPROVE][APPROVE], sum(row[APPROVE] for row in table)
    said, rows = sum(table[APPROVE]), sum(map(sum, table))
    return Calls(tp=tp, fp=called - tp, fn=said - tp, tn=rows - called - said + tp)
