"""A/B tests: the challenger is pinned as the one version in Staging, and the audit log records the test.

While a test runs, no candidate is promoted: later ones wait in stage None. Every write is skipped if it is already
done, so starting and stopping can be repeated after an interruption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.ab_records import AbTest, Mode
from nhm_assets.domain.errors import UsageError
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.recovery import champion_of, recover
from nhm_assets.registry.versions import absence, all_versions, version_if_any, versions_in_production
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, ROLLED_BACK_TAG, STAGING, UNSTAGED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]

AB_TEST: Final = "ab_test"
AB_TEST_ENDED: Final = "ab_test_ended"
"""Kinds of entries in the audit log."""
_CHANGE: Final = "change of an A/B test"
_LISTED: Final = 20


@dataclass(frozen=True)
class AbRequest:
    """A request for a test.

    Attributes:
        until: when it is over by itself.
        fields: more fields of the audit log: the actor, the run.
    """

    specialist: str
    model: str
    challenger: str
    mode: Mode
    split: float
    seed: str
    until: datetime
    min_samples: int
    fields: Mapping[str, Any]


def newest_test(log: "Collection[Document]", model: str, *, before: datetime | None = None) -> AbTest | None:
    """The test that was started last; None if there is none. `before`: only those that began earlier than that."""
    query: Document = {"model": model, "kind": AB_TEST}
    if before is not None:
        query["at"] = {"$lt": before}
    entry = log.find_one(query, sort=[("at", -1)])
    return _test(entry) if entry else None


def ran_between(log: "Collection[Document]", model: str, start: datetime, end: datetime) -> AbTest | None:
    """The newest test that ran at some time from `start` to `end`, as it was known at the end; None if none did."""
    test = newest_test(log, model, before=end)
    return test.as_of(end) if test and test.over_at > start else None


def running_test(log: "Collection[Document]", model: str, now: datetime) -> AbTest | None:
    """The test that runs now; None if none does."""
    test = newest_test(log, model)
    return test if test and test.ended_at is None and test.runs_at(now) else None


def why_it_waits(log: "Collection[Document]", model: str, version: str, now: datetime) -> str | None:
    """Why a version must not be promoted now; None if no test runs."""
    test = running_test(log, model, now)
    if test is None:
        return None
    what = "is the challenger of" if version == test.challenger else "waits for the end of"
    return (
        f"version {version} {what} the {test.sentence}, during which nothing is promoted. When it is over, or after"
        f" `nhm ab stop {test.specialist}`, retrain this week again: the gate then decides"
    )


def why_idle(client: "MlflowClient", test: AbTest) -> str | None:
    """Why a test that runs compares no further plans; None if it does."""
    if version_if_any(client, test.model, test.challenger) is None:
        return f"Version {test.challenger} was deleted in MLflow, so no further plans are compared"
    if test.champion not in {str(one.version) for one in versions_in_production(client, test.model)}:
        return f"Version {test.champion} is no longer in Production, so no further plans are compared"
    return None


def start_test(
    client: "MlflowClient", log: "Collection[Document]", request: AbRequest, *, now: datetime, wait_s: float
) -> AbTest:
    """Start a test, and pin its challenger. The same request again finds its own test.

    Args:
        client: of the registry.
        log: the audit log.
        request: what to test.
        now: time for the audit log.
        wait_s: seconds to wait while a promotion of the same model is in progress.

    Raises:
        UsageError: another test runs, or one of the versions cannot take part.
        RegistryError: a promotion did not end in time, or several versions are in Production.
        LockLost: another process may have taken the lock over meanwhile, so nothing was done.
    """
    model = request.model
    with hold_lock(
        log, model, _lock_fields(request.fields, now), recover=partial(recover, client, now=now), wait_s=wait_s
    ) as lock:
        try:
            test = running_test(log, model, now)
            lock.update(version=request.challenger)
            if test is None:
                _release(client, log, model, now)
                test = _record(client, log, request, now)
            elif others := _differences(test, request, now):
                raise UsageError(
                    f"nothing was started: an {test.sentence} runs already, with {', '.join(others)}. To start another"
                    f" one, end it first: `nhm ab stop {test.specialist}`"
                )
            _pin(client, log, test)
        finally:
            lock.discard()
    return test


def stop_test(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    fields: Mapping[str, Any],
    *,
    now: datetime,
    wait_s: float,
) -> AbTest:
    """End the newest test: those that wait go to Staging. A test that was ended already is left as it is.

    Args:
        client: of the registry.
        log: the audit log.
        model: name of the registered model.
        fields: more fields of the entry in the audit log: the actor, the run, the verdict.
        now: time for the audit log.
        wait_s: seconds to wait while a promotion of the same model is in progress.

    Raises:
        UsageError: there is no test.
        RegistryError: a promotion did not end in time.
        LockLost: another process may have taken the lock over meanwhile, so nothing was done.
    """
    with hold_lock(
        log, model, _lock_fields(fields, now), recover=partial(recover, client, now=now), wait_s=wait_s
    ) as lock:
        try:
            test = newest_test(log, model)
            if test is None:
                raise UsageError(f"{model} has no A/B test: `nhm ab start` starts one")
            lock.update(version=test.challenger)
            if test.ended_at is None:
                # First the entry: once the test is marked, nobody would write it.
                entry = {**fields, "kind": AB_TEST_ENDED, "model": model, "version": test.challenger, "at": now}
                ended = {"specialist": test.specialist, "test": test.id}
                log.update_one({"_id": f"ended:{test.id}"}, {"$setOnInsert": entry | ended}, upsert=True)
                log.update_one({"_id": test.id}, {"$set": {"ended_at": now}})
            _release(client, log, model, now)
        finally:
            lock.discard()
    return test.model_copy(update={"ended_at": test.ended_at or now})


def place_candidate(
    client: "MlflowClient", log: "Collection[Document]", model: str, version: str, now: datetime
) -> set[str]:
    """Note that a candidate waits, if a test of other versions runs; else let those in that still wait.

    Returns:
        The versions that wait in stage None, this one included; empty if no test runs.
    """
    test = running_test(log, model, now)
    if test is None:
        _release(client, log, model, now)
        return set()
    if version != test.challenger:
        # Whoever ends the test at this moment may have let the others in already: this one is let in next.
        log.update_one({"_id": test.id}, {"$addToSet": {"waiting": version}, "$set": {"settled": False}})
    return set((log.find_one({"_id": test.id}, {"waiting": 1}) or {}).get("waiting", []))


def _record(client: "MlflowClient", log: "Collection[Document]", request: AbRequest, now: datetime) -> AbTest:
    champion, challenger = _versions(client, log, request)
    entry = {
        **request.fields,
        "_id": f"{AB_TEST}:{request.model}:{challenger}:{now:%Y%m%dT%H%M%S}",
        "kind": AB_TEST,
        "specialist": request.specialist,
        "model": request.model,
        "version": challenger,
        "champion": champion,
        "mode": request.mode,
        "split": request.split,
        "seed": request.seed,
        "at": now,
        "until": request.until,
        "min_samples": request.min_samples,
        "waiting": [],
        "settled": False,
    }
    test = _test(entry)
    log.update_one({"_id": entry["_id"]}, {"$setOnInsert": {**entry, "reason": test.sentence}}, upsert=True)
    return test


def _versions(client: "MlflowClient", log: "Collection[Document]", request: AbRequest) -> tuple[str, str]:
    """The numbers of champion and challenger.

    Raises:
        UsageError: one of them cannot take part.
        RegistryError: several versions are in Production.
    """
    model, number = request.model, request.challenger
    champion, challenger = champion_of(client, log, model), version_if_any(client, model, number)
    fault = None
    if champion is None:
        fault = f"{model} has no version in Production to compare with"
    elif challenger is None:
        fault = absence(client, model, number)
    elif challenger.version == champion.version:
        fault = f"{model} version {number} is in Production itself: name another version"
    elif reason := _unfit(challenger):
        fault = f"{model} version {number} {reason}: name a candidate in Staging, or one that waits for it"
    if fault or champion is None or challenger is None:
        raise UsageError(f"nothing was started: {fault}")
    return str(champion.version), str(challenger.version)


def _unfit(challenger: "ModelVersion") -> str | None:
    if FILES_DELETED_TAG in challenger.tags:
        return "cannot be asked, because its files were deleted (KEEP_VERSIONS)"
    if ROLLED_BACK_TAG in challenger.tags:
        return "was rolled back"
    if challenger.current_stage not in (UNSTAGED, STAGING):
        return f"is in stage {challenger.current_stage}"
    return None


def _pin(client: "MlflowClient", log: "Collection[Document]", test: AbTest) -> None:
    """Make the challenger the one version in Staging. The others wait, noted before they are moved."""
    for version in all_versions(client, test.model):
        number = str(version.version)
        if number == test.challenger and version.current_stage != STAGING:
            client.transition_model_version_stage(test.model, number, STAGING)
        elif number != test.challenger and version.current_stage == STAGING:
            log.update_one({"_id": test.id}, {"$addToSet": {"waiting": number}})
            client.transition_model_version_stage(test.model, number, UNSTAGED)


def _release(client: "MlflowClient", log: "Collection[Document]", model: str, now: datetime) -> None:
    """Let the versions into Staging that waited for tests that are over."""
    # Another process may have started a test since the caller looked.
    over = [{"ended_at": {"$ne": None}}, {"until": {"$lte": now}}]
    for entry in log.find({"model": model, "kind": AB_TEST, "settled": False, "$or": over}).limit(_LISTED):
        for number in entry["waiting"]:
            version = version_if_any(client, model, number)
            if version and version.current_stage == UNSTAGED and FILES_DELETED_TAG not in version.tags:
                client.transition_model_version_stage(model, number, STAGING)
        log.update_one({"_id": entry["_id"]}, {"$set": {"settled": True}})


def _differences(test: AbTest, request: AbRequest, now: datetime) -> list[str]:
    """What was asked for otherwise than the test that runs; empty if it is the same request."""
    names = ("challenger", "mode", "split", "seed", "min_samples")
    asked = [(name, getattr(test, name), getattr(request, name)) for name in names]
    # MongoDB stores milliseconds, so the length of a test may lose one.
    asked.append(("days", _days(test.until - test.started_at), _days(request.until - now)))
    return [f"{name} {has}, not {wanted}" for name, has, wanted in asked if has != wanted]


def _days(length: timedelta) -> str:
    return f"{length / timedelta(days=1):g}"


def _lock_fields(fields: Mapping[str, Any], now: datetime) -> Document:
    return {**fields, "kind": _CHANGE, "at": now}


def _test(entry: Mapping[str, Any]) -> AbTest:
    same = ("specialist", "model", "champion", "mode", "split", "seed", "until", "min_samples")
    return AbTest(
        id=str(entry["_id"]),
        challenger=entry["version"],
        started_at=entry["at"],
        ended_at=entry.get("ended_at"),
        **{name: entry[name] for name in same},
    )
