"""Asks candidate and champion about the plans that came in since the champion was promoted. No labels, no traffic.

The shadow is optional: it has little time, and whatever fails in it is said and never ends an evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.records import TrainedModel
from nhm_assets.domain.shadow_records import Shadow
from nhm_assets.evaluation.predictions import served_answers
from nhm_assets.evaluation.served_plans import Opinion, ServedPlans, read_opinions, read_plans
from nhm_assets.evaluation.shadow import Comparison, documents, summarize
from nhm_assets.evaluation.shadow_picture import draw
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.recovery import last_move
from nhm_assets.settings import Settings
from nhm_assets.steps.pictures import drawn

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.database import Database

COMPARISONS: Final = "shadow_mode_comparisons"
_READ_S: Final = 0.5
"""Seconds for each read. With the models' answers, all takes less than two seconds."""
_WRITE_S: Final = 10.0
"""Seconds for the write of some thousand documents, which somebody asked for."""


@dataclass(frozen=True)
class ShadowRun:
    """A shadow, and its picture as PNG; None if there is nothing to draw."""

    shadow: Shadow
    picture: bytes | None


def cast_shadow(
    client: "MlflowClient",
    database: "Database[dict[str, Any]]",
    trained: TrainedModel,
    champion: "ModelVersion | None",
    settings: Settings,
    *,
    warn: Callable[[str], None],
) -> ShadowRun | None:
    """Compare candidate and champion on stored plans. None if there is no champion to compare with.

    Args:
        client: of the registry.
        database: with the plans' features, the opinions and the audit log.
        trained: the candidate.
        champion: the version in Production.
        settings: SHADOW_PLANS, WRITE_SHADOW_COMPARISONS and the names of collections.
        warn: called if something fails.
    """
    if champion is None or str(champion.version) == trained.version or not settings.shadow_plans:
        return None
    number, since = str(champion.version), None
    try:
        since = _promoted_at(database, champion)
        plans = read_plans(
            database[settings.features_collection], since=since, limit=settings.shadow_plans, timeout_s=_READ_S
        )
        comparison = _compare(client, database, trained, number, plans, settings, warn)
        shadow = summarize(comparison, champion=number, since=since)
    except Exception as error:  # noqa: BLE001 - the evaluation does not need it
        fault = _first_line(error)
        warn(f"candidate and champion were not compared on stored plans: {fault}")
        return ShadowRun(Shadow(champion=number, since=since, fault=fault), None)
    if settings.write_shadow_comparisons:
        _write(database, comparison, trained, number, settings, warn)
    return ShadowRun(shadow, _picture(comparison, warn))


def _promoted_at(database: "Database[dict[str, Any]]", champion: "ModelVersion") -> datetime:
    """When the champion came into Production: by the audit log, else when it was last changed."""
    import pymongo

    with pymongo.timeout(_READ_S):
        entry = last_move(database[AUDIT_LOG], champion.name)
    if entry and str(entry["version"]) == str(champion.version):
        return entry["at"]
    return datetime.fromtimestamp(champion.last_updated_timestamp / 1000, UTC)


def _compare(
    client: "MlflowClient",
    database: "Database[dict[str, Any]]",
    trained: TrainedModel,
    champion: str,
    plans: ServedPlans,
    settings: Settings,
    warn: Callable[[str], None],
) -> Comparison:
    def answers(version: str) -> Any:
        return served_answers(
            client,
            database[AUDIT_LOG],
            trained.model,
            version,
            plans.features,
            served=settings.served_classes,
            allow_unverified=settings.allow_unverified_champion,
        )

    opinions = _opinions(database, trained, plans, settings, warn)
    return Comparison(plans, answers(champion), answers(trained.version), opinions)


def _opinions(
    database: "Database[dict[str, Any]]",
    trained: TrainedModel,
    plans: ServedPlans,
    settings: Settings,
    warn: Callable[[str], None],
) -> dict[str, Opinion] | None:
    """What the specialist said; None if that cannot be read in time, for example because an index is missing."""
    from pymongo.errors import PyMongoError

    collection = database[settings.opinions_collection]
    try:
        return read_opinions(collection, trained.specialist, plans.plan_ids, timeout_s=_READ_S)
    except PyMongoError as error:
        warn(f"the opinions on the stored plans were not read: {_first_line(error)}. An index on plan_id helps")
        return None


def _picture(comparison: Comparison, warn: Callable[[str], None]) -> bytes | None:
    if not comparison.plans.plan_ids:
        return None
    return drawn(lambda: draw(comparison), warn)


def _write(
    database: "Database[dict[str, Any]]",
    comparison: Comparison,
    trained: TrainedModel,
    champion: str,
    settings: Settings,
    warn: Callable[[str], None],
) -> None:
    """Store the comparisons, each under its own id: a re-run replaces them."""
    import pymongo
    from pymongo.errors import PyMongoError

    context = {"specialist_type": trained.specialist, "week": trained.week}
    found = documents(
        comparison,
        model=trained.model,
        champion=champion,
        candidate=trained.version,
        context=context,
        now=settings.now(),
    )
    try:
        with pymongo.timeout(_WRITE_S):
            if found:
                database[COMPARISONS].bulk_write(
                    [pymongo.ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in found], ordered=False
                )
    except PyMongoError as error:
        warn(f"not all comparisons were written to {COMPARISONS}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    # PyMongo adds details that tell nothing more.
    return line.split(", full error:")[0].split(", Timeout:")[0].rstrip(".")[:300]
