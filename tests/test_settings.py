"""Defaults, names and meaning of the settings."""

import os
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import FIVE, Specialist, all_specialists
from nhm_assets.settings import Settings, set_library_environment
from tests.support.configured import configured
from tests.support.settings import settings_from

DEFAULTS = {
    "environment": "development",
    "specialists_file": None,
    "first_week": "2026-01-04",
    "keep_weeks": 156,
    "mongodb_uri": None,
    "mongodb_database": "neural_hive",
    "mongodb_timeout_s": 10.0,
    "feedback_collection": "specialist_feedback",
    "opinions_collection": "specialist_opinions",
    "plans_collection": "cognitive_ledger",
    "features_collection": "plan_features",
    "mlflow_tracking_uri": None,
    "feedback_window_days": 30,
    "min_feedback_rating": 0.0,
    "scripted_feedback_prefixes": "fb-auto-,fb-bal-,fb-human-",
    "include_scripted_feedback": False,
    "min_real_samples": 1000,
    "allow_synthetic_fallback": "auto",
    "allow_unverified_champion": False,
    "foreign_champion": "replace",
    "served_classes": "names",
    "hyperparameter_tuning": False,
    "tuning_trials": 30,
    "precision_threshold": 0.75,
    "recall_threshold": 0.70,
    "f1_threshold": 0.72,
    "max_f1_regression": 0.01,
    "min_test_rows": 100,
    "gate_folds": 2,
    "gate_confidence": 0.5,
    "gate_midweek_confidence": 0.8,
    "reference_weeks": 8,
    "max_f1_regression_to_reference": 0.02,
    "shadow_agreement": 0.90,
    "write_shadow_comparisons": False,
    "ab_test_traffic_split": 0.9,
    "ab_test_hash_seed": "neural-hive-ab-test",
    "restart_after_minutes": (5.0, 15.0, 60.0, 180.0),
    "restart_for_hours": 24.0,
    "rollback_on_failed_rollout": False,
    "nhm_now": None,
    "retraining_feedback_threshold": 100,
    "retraining_cooldown_hours": 72.0,
    "increment": False,
    "increment_threshold": 20,
    "max_concurrent_runs": 2,
    "max_run_seconds": 14400,
    "force_retrain": False,
    "keep_versions": 20,
    "notify_outcomes": "promoted,held,superseded,unchanged,insufficient_data,broken",
    "notify_urls": None,
    "specialist_namespace": "semantic-translation",
    "specialist_deployment": "specialist-{specialist}",
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items(), ids=DEFAULTS)
def test_defaults_are_those_that_other_systems_rely_on(name: str, value: Any):
    assert getattr(Settings.load(), name) == value


def test_every_setting_has_a_description():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_variable_of_a_setting_is_its_name_in_capitals(monkeypatch: pytest.MonkeyPatch):
    settings = settings_from(
        monkeypatch, MONGODB_DATABASE="hive", MIN_TEST_ROWS="50", F1_THRESHOLD="0.8", HYPERPARAMETER_TUNING="true"
    )
    assert settings.mongodb_database == "hive"
    assert settings.min_test_rows == 50
    assert settings.f1_threshold == 0.8
    assert settings.hyperparameter_tuning is True


@pytest.mark.parametrize("variable", [name.upper() for name in Settings.model_fields])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, variable: str):
    without = Settings.load()
    assert settings_from(monkeypatch, **{variable: ""}) == without


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().f1_threshold = 0.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T02:00:00", datetime(2026, 11, 22, 2, tzinfo=UTC)),
        ("2026-11-22T02:00:00Z", datetime(2026, 11, 22, 2, tzinfo=UTC)),
        ("2026-11-22T02:00:00+02:00", datetime(2026, 11, 22, 0, tzinfo=UTC)),
        ("2026-11-21T22:30:00-03:30", datetime(2026, 11, 22, 2, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_the_clock_can_be_set_and_is_in_utc(monkeypatch: pytest.MonkeyPatch, text: str, moment: datetime):
    now = settings_from(monkeypatch, NHM_NOW=text).now()
    assert now == moment
    assert now.utcoffset().total_seconds() == 0


def test_a_clock_that_is_set_ignores_the_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    assert settings_from(monkeypatch, NHM_NOW="2026-11-22T02:00:00").now() == datetime(2026, 11, 22, 2, tzinfo=UTC)


def test_the_clock_of_the_machine_is_read_in_utc():
    settings = Settings.load()
    before = datetime.now(UTC)
    assert before <= settings.now() <= settings.now() <= datetime.now(UTC)
    assert settings.now().tzinfo is UTC


@pytest.mark.parametrize(
    ("environment", "fallback", "allowed"),
    [
        ("development", "auto", True),
        ("staging", "auto", True),
        ("production", "auto", False),
        ("production", "true", True),
        ("development", "false", False),
    ],
)
def test_synthetic_rows_are_allowed_outside_production_or_as_the_setting_says(
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    fallback: str,
    allowed: bool,  # noqa: FBT001 - a table
):
    settings = settings_from(monkeypatch, ENVIRONMENT=environment, ALLOW_SYNTHETIC_FALLBACK=fallback)
    assert settings.synthetic_fallback is allowed


def test_everything_on_this_machine_is_in_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings = settings_from(monkeypatch, NHM_HOME=str(tmp_path))
    assert settings.nhm_home == tmp_path
    assert settings.dagster_folder == tmp_path / "dagster"
    assert settings.storage == str(tmp_path / "storage")


@pytest.mark.parametrize("prefix", ["", "~/"])
@pytest.mark.parametrize("variable", ["NHM_HOME", "DAGSTER_HOME", "NHM_STORAGE"])
def test_a_folder_does_not_depend_on_the_working_directory_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, prefix: str
):
    monkeypatch.chdir(tmp_path)
    settings = settings_from(monkeypatch, HOME=str(tmp_path), **{variable: f"{prefix}here"})
    folders = {
        "NHM_HOME": settings.nhm_home,
        "DAGSTER_HOME": settings.dagster_folder,
        "NHM_STORAGE": Path(settings.storage),
    }
    assert folders[variable] == tmp_path / "here"


def test_dagster_gets_the_folder_of_its_instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "")
    set_library_environment(settings_from(monkeypatch, NHM_HOME=str(tmp_path)))
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")


def test_dagster_gets_the_maximum_number_of_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DAGSTER_HOME", "")
    set_library_environment(settings_from(monkeypatch, NHM_HOME=str(tmp_path), MAX_CONCURRENT_RUNS="3"))
    assert os.environ["MAX_CONCURRENT_RUNS"] == "3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broken", {"broken"}),
        (" Broken , held,", {"broken", "held"}),
        ("promoted,held,superseded,unchanged,broken", {"promoted", "held", "superseded", "unchanged", "broken"}),
        (",", set()),
    ],
)
def test_notified_outcomes_are_separated_by_commas(text: str, expected: set[str]):
    assert Settings(notify_outcomes=text).notified_outcomes == expected


def test_a_setting_has_no_second_name_except_where_a_command_gives_it_one(monkeypatch: pytest.MonkeyPatch):
    assert settings_from(monkeypatch, NAMESPACE="neural-hive").specialist_namespace == "semantic-translation"
    assert Settings.load(specialist_namespace="NAMESPACE").specialist_namespace == "neural-hive"
    monkeypatch.setenv("SPECIALIST_NAMESPACE", "own")
    assert Settings.load(specialist_namespace="NAMESPACE").specialist_namespace == "own"
    monkeypatch.setenv("SPECIALIST_NAMESPACE", "")
    assert Settings.load(specialist_namespace="NAMESPACE").specialist_namespace == "neural-hive"


def test_the_specialists_are_those_of_the_file_and_without_one_the_five(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "specialists.yaml").write_text("- name: data-quality\n- name: technical\n")
    with configured(*FIVE):
        settings_from(monkeypatch, SPECIALISTS_FILE=str(tmp_path / "specialists.yaml"))
        assert all_specialists() == ("data-quality", "technical")
        monkeypatch.delenv("SPECIALISTS_FILE")
        settings_from(monkeypatch)
        assert all_specialists() == FIVE


@pytest.mark.parametrize(
    ("entry", "names", "is_refused"),
    [
        ("deployment: specialist-b", {}, True),
        ("deployment: specialist-b, namespace: semantic-translation", {}, True),
        ("deployment: specialist-b, namespace: elsewhere", {}, False),
        ("deployment: specialist-b", {"SPECIALIST_DEPLOYMENT": "opinions-{specialist}"}, False),
        ("namespace: semantic-translation", {"SPECIALIST_DEPLOYMENT": "one-for-all"}, False),
    ],
)
def test_a_deployment_that_is_anothers_by_default_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entry: str, names: dict[str, str], *, is_refused: bool
):
    file = tmp_path / "specialists.yaml"
    file.write_text(f"- {{name: a, {entry}}}\n- name: b\n")
    expected = pytest.raises(UsageError, match="a and b have the same Deployment, specialist-b in namespace semantic")
    with configured(*FIVE), expected if is_refused else nullcontext():
        settings_from(monkeypatch, SPECIALISTS_FILE=str(file), **names)


def test_a_specialists_file_that_cannot_be_used_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(UsageError, match=r"SPECIALISTS_FILE .*none\.yaml: it cannot be read"):
        settings_from(monkeypatch, SPECIALISTS_FILE=str(tmp_path / "none.yaml"))
    assert all_specialists() == FIVE


def test_with_many_specialists_only_the_runs_that_there_can_be_wait_for_each_others_rollout():
    with configured(*(Specialist(f"unit-{number}") for number in range(500))):
        assert Settings(max_concurrent_runs=2).rollouts_at_once == 7
    assert Settings(max_concurrent_runs=20).rollouts_at_once == 5
    assert [Settings(rollout_parallel=count).rollouts_in_a_row for count in (1, 2, 5, 10)] == [5, 3, 1, 1]


def test_one_specialist_of_nine_restarts_at_a_time_and_two_of_ten():
    def slots(count: int, **settings: int) -> int:
        with configured(*(Specialist(f"unit-{number}") for number in range(count))):
            return Settings(**settings).rollout_slots

    assert [slots(count) for count in (1, 5, 9, 10, 50, 500)] == [1, 1, 1, 2, 2, 2]
    assert [slots(50, rollout_parallel=count) for count in (1, 3)] == [1, 3]


def test_a_specialist_may_learn_in_its_own_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    file = tmp_path / "specialists.yaml"
    file.write_text("- {name: technical, family: voting}\n- {name: business}\n")
    with configured(*FIVE):
        settings = settings_from(monkeypatch, SPECIALISTS_FILE=str(file), MODEL_FAMILY="logistic")
        assert [settings.family_of(name) for name in ("technical", "business")] == ["voting", "logistic"]
        file.write_text("- {name: technical, family: vooting}\n")
        with pytest.raises(UsageError, match=r"SPECIALISTS_FILE gives technical the unknown family vooting; choose"):
            settings_from(monkeypatch, SPECIALISTS_FILE=str(file))
