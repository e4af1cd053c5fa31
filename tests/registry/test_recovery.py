"""A kill never leaves half a promotion or half a rollback: the next process finishes or undoes it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.partitions import WEEK
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.recovery import repair_interrupted
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import ROLLED_BACK_TAG
from tests.support.documents import NOW, WEEK_END
from tests.support.promotions import (
    EARLIER,
    LATER,
    REASON,
    Place,
    let_leases_run_out,
    promote_here,
    roll_back_here,
    start_promotion,
    start_rollback,
)
from tests.support.registry import MODEL, Registry


@dataclass(frozen=True)
class Scene:
    """A registry and an audit log, as a process has left them."""

    registry: Registry
    log: Any

    def serving(self) -> str:
        """The one version in Production, by stage and alias, with no open lock."""
        stages = self.registry.state()["stages"]
        (number,) = (number for number, stage in stages.items() if stage == "Production")
        assert registry_faults(self.registry.client(), MODEL, number) == []
        assert self.log.count_documents({"state": "open"}) == 0
        return number

    def marks(self) -> dict[str, str]:
        """The versions that were rolled back -> reason."""
        versions = all_versions(self.registry.client(), MODEL)
        return {str(item.version): item.tags[ROLLED_BACK_TAG] for item in versions if ROLLED_BACK_TAG in item.tags}

    @contextmanager
    def copied(self, folder: Path) -> Iterator["Scene"]:
        """A copy of the scene to work on; the log is restored at the end.

        The folder must be new, because MLflow keeps the files open that this process has used.
        """
        entries = list(self.log.find())
        yield Scene(self.registry.copy_to(folder), self.log)
        self.log.delete_many({})
        if entries:
            self.log.insert_many(entries)


def add_promoted(registry: Registry, log: Any, window_end: datetime) -> str:
    """Register a version and promote it."""
    version = registry.add(window_end)
    promote_here(registry, log, version, window_end)
    return version


def killed_at_every_call(
    scene: Scene, mongod_uri: str, folder: Path, start: Callable[..., BaseProcess]
) -> Iterator[Scene]:
    """The scene after a kill at each call in turn, with an expired lease."""
    for number in range(1000):
        with scene.copied(folder / f"killed-{number}") as killed:
            process = start(Place(killed.registry.home, mongod_uri, killed.log.database.name), killed_at=number)
            process.join()
            if process.exitcode == 0:
                assert number > 10
                return
            assert process.exitcode == -9
            let_leases_run_out(killed.log)
            yield killed


@pytest.mark.slow
@pytest.mark.servers
def test_a_promotion_killed_at_any_call_is_finished_by_its_rerun(registry, log, mongod_uri, tmp_path):
    """SIGKILL instead of the n-th call to MLflow or MongoDB, for every n."""
    old, new = registry.add(EARLIER), registry.add(WEEK_END)
    promote_here(registry, log, old, EARLIER)
    right = {"stages": {old: "Archived", new: "Production"}, "aliases": {"production": new, "previous": old}}

    def start(place: Place, killed_at: int) -> BaseProcess:
        return start_promotion(place, new, WEEK_END, killed_at=killed_at)

    for killed in killed_at_every_call(Scene(registry, log), mongod_uri, tmp_path, start):
        promote_here(killed.registry, log, new, WEEK_END)
        assert killed.serving() == new
        assert killed.registry.state() == right
        assert log.count_documents({"state": "done", "kind": "promoted", "version": new}) == 1


@pytest.mark.servers
@pytest.mark.slow
def test_a_rollback_killed_at_any_call_is_finished_by_the_next_rollback_or_promotion(
    registry, log, mongod_uri, tmp_path
):
    """Either nothing was decided and nothing has moved, or all moves are finished before anything else happens.

    A rollback that finds an interrupted one finishes it, and does not go back further.
    """
    _, good, bad = (add_promoted(registry, log, end) for end in (EARLIER - WEEK, EARLIER, WEEK_END))
    newer = registry.add(LATER)
    rolled_back = {"kind": "rolled_back", "state": "done", "from_version": bad, "version": good}
    decided = []
    for killed in killed_at_every_call(Scene(registry, log), mongod_uri, tmp_path, start_rollback):
        with killed.copied(tmp_path / f"promotion-{len(decided)}") as scene:
            promote_here(scene.registry, log, newer, LATER)
            assert scene.serving() == newer
            decided.append(log.count_documents(rolled_back) == 1)
            assert scene.marks() == ({bad: REASON} if decided[-1] else {})
            previous = good if decided[-1] else bad
            assert scene.registry.state()["aliases"] == {"production": newer, "previous": previous}
        done = roll_back_here(killed.registry, log)
        assert (done.version, done.from_version) == (good, bad)
        assert log.find_one({"_id": done.audit_id})["state"] == "done"
        assert killed.serving() == good
        assert killed.marks() == {bad: REASON}
        assert log.count_documents(rolled_back) == 1
    assert decided == sorted(decided)
    assert set(decided) == {False, True}


@pytest.mark.servers
def test_simultaneous_rollbacks_and_promotions_run_one_after_the_other(registry, database, log, mongod_uri):
    """Whichever is first, a rolled back version is not in Production, and nothing is half done."""
    good, bad = (add_promoted(registry, log, end) for end in (EARLIER, WEEK_END))
    newer = registry.add(LATER)
    place = Place(registry.home, mongod_uri, database.name)
    started = [start_promotion(place, newer, LATER), start_rollback(place, good), start_promotion(place, bad, WEEK_END)]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    ended = Scene(registry, log)
    left = log.find_one({"kind": "rolled_back"})["from_version"]
    assert ended.marks() == {left: REASON}
    assert ended.serving() != left


def test_a_promotion_whose_version_was_deleted_is_undone(registry, log):
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    client = registry.client()
    fields = {"at": NOW, "version": new, "kind": "promotion"}
    with hold_lock(log, MODEL, fields, recover=pytest.fail, wait_s=1) as held:
        held.update(from_version=old, previous=old)
        client.set_registered_model_alias(MODEL, "production", new)
    client.delete_model_version(MODEL, new)
    let_leases_run_out(log)
    latest = registry.add(LATER)
    promote_here(registry, log, latest, LATER)
    assert log.find_one({"_id": held.id})["state"] == "undone"
    assert registry.state()["aliases"] == {"production": latest, "previous": old}


@pytest.mark.parametrize(("kept", "state"), [(True, "done"), (False, "undone")])
def test_what_was_interrupted_ends_whatever_was_deleted_meanwhile(registry, log, kept: bool, state: str):  # noqa: FBT001
    """Otherwise every run of the specialist would break where it begins."""
    old, new = registry.add(EARLIER, stage="Production"), registry.add(WEEK_END)
    with hold_lock(log, MODEL, {"at": NOW, "version": new, "kind": "promotion"}, recover=pytest.fail, wait_s=1) as held:
        held.update(from_version=old, previous=old)
    for version in [old] if kept else [old, new]:
        registry.client().delete_model_version(MODEL, version)
    let_leases_run_out(log)
    latest = registry.add(LATER)
    promote_here(registry, log, latest, LATER)
    assert log.find_one({"_id": held.id})["state"] == state
    assert registry.state()["aliases"] == {"production": latest} | ({"previous": new} if kept else {})


def test_a_recovered_promotion_is_marked_as_repaired(registry, log):
    version = registry.add(WEEK_END)
    fields = {"at": NOW, "version": version, "kind": "promotion"}
    with hold_lock(log, MODEL, fields, recover=pytest.fail, wait_s=1) as held:
        held.update(from_version=None, previous=None)
    let_leases_run_out(log)
    promote_here(registry, log, version, WEEK_END)
    entry = log.find_one({"_id": held.id})
    assert (entry["kind"], entry["state"], entry["repaired"]) == ("promoted", "done", True)
    assert log.count_documents({}) == 1


def test_the_head_of_a_run_leaves_a_living_owner_alone(registry, log):
    """It renews its lease, so it finishes its work itself."""
    with hold_lock(log, MODEL, {"at": NOW}, recover=pytest.fail, wait_s=1, lease_s=60) as held:
        # So long it waits for an owner that may be dead.
        repair_interrupted(pytest.fail, log, MODEL, now=NOW, lease_s=1.0)
        assert log.find_one({"_id": held.id})["state"] == "open"
        held.discard()
