"""The sensor, the command and the check that find and settle moves of the champion by somebody else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import SkipReason, build_sensor_context

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.promotion.checks import registry_verdict
from nhm_assets.registry.transitions import registry_faults
from sensors.registry import registry_sensor
from tests.support.documents import NOW, WEEK_END
from tests.support.nhm import nhm, nhm_here
from tests.support.notified import Receiver, receiver
from tests.support.platform import Platform
from tests.support.platforms import new_platform
from tests.support.promotions import EARLIER, promote_here, roll_back_here
from tests.support.registry import MODEL, Registry


@dataclass(frozen=True)
class Scene:
    """A registry with two promoted versions, of which a stranger has moved the first one back into Production."""

    registry: Registry
    first: str
    second: str


@pytest.fixture
def platform(tmp_path: Path, mongod_uri: str, migrated_mlflow: Path) -> Iterator[Platform]:
    """A platform with a registry of its own, which these tests fill."""
    with new_platform(tmp_path, mongod_uri, migrated_mlflow, service_retries=0) as platform:
        yield platform


@pytest.fixture
def scene(platform: Platform) -> Scene:
    registry = Registry(platform.settings.nhm_home / "mlflow")
    versions = []
    for window_end in (EARLIER, WEEK_END):
        versions.append(registry.add(window_end))
        promote_here(registry, platform.database["model_audit_log"], versions[-1], window_end)
    scene = Scene(registry, *versions)
    moved(scene, scene.first)
    return scene


def moved(scene: Scene, version: str) -> None:
    """What the button in MLflow's UI does."""
    client = scene.registry.client()
    client.transition_model_version_stage(MODEL, version, "Production", archive_existing_versions=True)


def tick(platform: Platform, *receivers: Receiver, log_key: Sequence[str] | None = None) -> str:
    """One evaluation of the sensor; what it says."""
    resources = {
        "settings": platform.settings,
        "mongo": build_definitions(platform.settings).resources["mongo"],
        "mlflow": platform.mlflow,
        "notifiers": [each.notifier for each in receivers],
    }
    context = build_sensor_context(instance=platform.instance, resources=resources)
    context._log_key = log_key
    result = registry_sensor(context)
    assert isinstance(result, SkipReason)
    return str(result.skip_message)


def test_a_foreign_move_is_sent_once_and_says_how_to_settle_it(platform: Platform, scene: Scene):
    before = scene.registry.state()
    with receiver() as there, receiver() as down:
        down.status = 500
        for _ in range(3):
            assert "Somebody else moved it" in tick(platform, there, down)
        assert (len(there.received), len(down.received)) == (1, 3)
        down.status = 200
        tick(platform, there, down)
        tick(platform, there, down)
        assert (len(there.received), len(down.received)) == (1, 4)
        (message,) = there.received
    assert message["title"] == "technical: somebody else moved the champion"
    assert f"version {scene.first} is in stage Production" in message["message"]
    assert "`nhm adopt technical --reason TEXT`" in message["message"]
    assert f"`nhm rollback technical --to {scene.second} --reason TEXT`" in message["message"]
    found = message["foreign_move"]
    assert (found["version"], found["from_version"]) == (scene.first, scene.second)
    assert scene.registry.state() == before


def test_a_preview_in_the_ui_says_what_is_there_and_writes_nothing(platform: Platform, scene: Scene):
    restoring, log = platform.with_settings(restore_foreign_moves=True), platform.database["model_audit_log"]
    before, entries = scene.registry.state(), list(log.find())
    with receiver() as there:
        made_up = ("__repository__", "registry_sensor", "20261125_101500")
        assert "Somebody else moved it" in tick(restoring, there, log_key=made_up)
        assert there.received == []
    assert (scene.registry.state(), list(log.find())) == (before, entries)
    assert tick(restoring, log_key=("__repository__", "registry_sensor", "17")).endswith("(RESTORE_FOREIGN_MOVES)")


def test_a_receiver_that_is_down_for_an_hour_misses_the_message(platform: Platform, scene: Scene):
    with receiver() as there:
        there.status = 500
        tick(platform, there)
        later = platform.with_settings(nhm_now=NOW.replace(hour=NOW.hour + 2))
        tick(later, there)
        assert len(there.received) == 1


def test_with_the_setting_the_champion_is_moved_back(platform: Platform, scene: Scene):
    with receiver() as there:
        restoring = platform.with_settings(restore_foreign_moves=True)
        assert f"Version {scene.second} was moved back into Production" in tick(restoring, there)
        assert registry_faults(scene.registry.client(), MODEL, scene.second) == []
        assert "the registry shows what the audit log recorded" in tick(restoring, there)
        assert len(there.received) == 1
    entry = platform.database["model_audit_log"].find_one({"kind": "restored"})
    assert (entry["version"], entry["actor"]) == (scene.second, "dagster sensor registry_sensor")


def test_a_champion_that_was_deleted_is_reported_and_not_moved_back(platform: Platform, scene: Scene):
    scene.registry.client().delete_model_version(MODEL, scene.second)
    before = scene.registry.state()
    message = tick(platform.with_settings(restore_foreign_moves=True))
    assert "It was not moved back" in message
    assert f"version {scene.second} no longer exists" in message
    assert scene.registry.state() == before
    assert platform.database["model_audit_log"].count_documents({"state": "open"}) == 0


def test_a_rollback_of_a_failed_rollout_is_shown_on_promoted_version(platform: Platform, scene: Scene):
    """It was not made by the job, so nobody has shown it yet."""
    roll_back_here(scene.registry, platform.database["model_audit_log"], reason="its rollout failed")
    for _ in range(2):
        tick(platform)
        records = platform.instance.fetch_observations(PROMOTED_VERSION, limit=10).records
        assert len(records) == 2, "one on the partition of each version"
    assert {record.asset_event.metadata["reason"].value for record in records} == {"its rollout failed"}


def test_a_rollback_of_which_another_program_tells_little_hides_no_foreign_move(platform: Platform, scene: Scene):
    platform.database["model_audit_log"].insert_one({"model": MODEL, "kind": "rolled_back", "state": "done", "at": NOW})
    assert "Somebody else moved it" in tick(platform)


def test_a_service_that_is_away_is_named_and_does_not_fail_the_tick(platform: Platform):
    away = platform.with_settings(mongodb_uri="mongodb://127.0.0.1:9", mongodb_timeout_s=0.2)
    assert "the registry was not compared: MongoDB at mongodb://127.0.0.1:9" in tick(away)


def test_the_check_says_who_disagrees_and_how_to_settle_it(platform: Platform, scene: Scene):
    log, client = platform.database["model_audit_log"], scene.registry.client()
    verdict = registry_verdict(client, log, "technical", MODEL)
    assert not verdict.passed
    expected = f"version {scene.first} is in stage Production and the alias production names version {scene.second}"
    assert expected in verdict.reason
    assert "`nhm adopt technical" in verdict.reason
    moved(scene, scene.second)
    verdict = registry_verdict(client, log, "technical", MODEL)
    assert verdict.passed
    assert verdict.reason == f"Version {scene.second} is in Production, by stage, by alias and by the audit log."


@pytest.mark.servers
@pytest.mark.slow
def test_status_shows_a_foreign_move_and_adopt_settles_it(platform: Platform, scene: Scene):
    settings = platform.settings
    where = {
        "nhm_home": settings.nhm_home,
        "mongodb_uri": settings.mongodb_uri.get_secret_value(),
        "mongodb_database": settings.mongodb_database,
    }
    shown = nhm("status", **where)
    assert shown.returncode == 3, "it needs a person"
    assert f"the audit log last recorded version {scene.second}. Somebody else moved it" in shown.stdout
    assert nhm_here("adopt", "technical", **where).returncode == 2
    done = nhm_here("adopt", "technical", "--reason", "tested by hand", **where)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{MODEL}: version {scene.first} is adopted as the version in Production." in done.stdout
    assert f"Before, it was version {scene.second}." in done.stdout
    entry = platform.database["model_audit_log"].find_one({"kind": "adopted"})
    assert (entry["version"], entry["reason"]) == (scene.first, "tested by hand")
    assert entry["actor"].endswith(", nhm adopt")
    settled = nhm("status", **where)
    assert (settled.returncode, "Somebody else" in settled.stdout) == (0, False), settled.stdout
    again = nhm_here("adopt", "technical", "--reason", "again", **where)
    assert (again.returncode, again.stdout) == (
        0,
        f"{MODEL}: version {scene.first} is in Production, as the audit log records. Nothing to adopt.\n",
    )
