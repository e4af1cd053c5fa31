"""Every setting has a type, a default and a name in the environment; what cannot be used is refused by that name."""

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings, set_library_environment

SECRET = "s3cret-word"  # noqa: S105 - of no server


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    """The settings under these variables."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


DEFAULTS = {
    "environment": "development",
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
    "min_real_samples": 1000,
    "allow_synthetic_fallback": "auto",
    "hyperparameter_tuning": False,
    "tuning_trials": 30,
    "precision_threshold": 0.75,
    "recall_threshold": 0.70,
    "f1_threshold": 0.72,
    "max_f1_regression": 0.01,
    "min_test_rows": 100,
    "nhm_now": None,
    "retraining_feedback_threshold": 100,
    "retraining_cooldown_hours": 24.0,
    "max_concurrent_runs": 2,
    "max_run_seconds": 7200,
    "force_retrain": False,
    "keep_versions": 20,
    "notify_outcomes": "promoted,held,superseded,unchanged,broken",
    "notify_urls": None,
    "specialist_namespace": "semantic-translation",
    "specialist_deployment": "specialist-{specialist}",
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items(), ids=DEFAULTS)
def test_a_default_is_the_one_that_other_systems_rely_on(name: str, value: Any):
    assert getattr(Settings.load(), name) == value


def test_every_setting_says_what_it_means():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_setting_is_read_from_the_variable_of_its_name(monkeypatch: pytest.MonkeyPatch):
    settings = loaded(
        monkeypatch, MONGODB_DATABASE="hive", MIN_TEST_ROWS="50", F1_THRESHOLD="0.8", HYPERPARAMETER_TUNING="true"
    )
    assert settings.mongodb_database == "hive"
    assert settings.min_test_rows == 50
    assert settings.f1_threshold == 0.8
    assert settings.hyperparameter_tuning is True


SHARES = (
    "PRECISION_THRESHOLD",
    "RECALL_THRESHOLD",
    "F1_THRESHOLD",
    "MAX_F1_REGRESSION",
    "MIN_FEEDBACK_RATING",
    "MAX_REJECTED_FRACTION",
)
COUNTS = (
    "FEEDBACK_WINDOW_DAYS",
    "MIN_REAL_SAMPLES",
    "MIN_TEST_ROWS",
    "MAX_FEEDBACK_AGE_DAYS",
    "TUNING_TRIALS",
    "TRAINING_THREADS",
    "RETRAINING_FEEDBACK_THRESHOLD",
    "MAX_CONCURRENT_RUNS",
    "MAX_RUN_SECONDS",
    "KEEP_VERSIONS",
    "KEEP_RUNS_DAYS",
    "RUN_TTL_S",
)
SECONDS = (
    "MONGODB_TIMEOUT_S",
    "MLFLOW_TIMEOUT_S",
    "PROMOTION_WAIT_S",
    "SERVICE_RETRY_DELAY_S",
    "NOTIFY_TIMEOUT_S",
    "ROLLOUT_TIMEOUT_S",
    "MODEL_LOAD_TIMEOUT_S",
    "KUBERNETES_TIMEOUT_S",
)
SWITCHES = ("HYPERPARAMETER_TUNING", "FORCE_RETRAIN", "ALLOW_UNVERIFIED_CHAMPION", "ROLLBACK_ON_FAILED_ROLLOUT")


QUANTITIES = ("RUN_CPU_REQUEST", "RUN_CPU_LIMIT", "RUN_MEMORY")
MAPS = ("RUN_RESOURCES", "RUN_NODE_SELECTOR")


def pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(variable, value) for variable, those in values.items() for value in those]


BAD = {
    **dict.fromkeys(SHARES, ("1.01", "-0.01", "75", "nan", "inf", "-inf", "high", "0,75", "75%", " ")),
    **dict.fromkeys(COUNTS, ("0", "-1", "1.5", "many", "nan", "1e3", "30 days")),
    **dict.fromkeys(SECONDS, ("0", "-1", "nan", "inf", "soon", "10s")),
    **dict.fromkeys(SWITCHES, ("perhaps", "2", "-1")),
    "ALLOW_SYNTHETIC_FALLBACK": ("maybe", "automatic", "2"),
    "NHM_NOW": ("yesterday", "2026-13-01", "2026-02-30T00:00:00", "12:00"),
    "RETRAINING_COOLDOWN_HOURS": ("-1", "nan", "inf", "a day"),
    "SERVICE_RETRIES": ("-1", "1.5", "often"),
    "NOTIFY_URLS": ("hello", "https://hive.example/hook", "json://", "json://hive.example mail@hive.example"),
    **dict.fromkeys(QUANTITIES, ("much", "-1", "2 Gi", "1,5")),
    **dict.fromkeys(MAPS, ("{", "disk=ssd", "[]", '"text"')),
    "RUN_TOLERATIONS": ("[", "{}", '["text"]'),
    "RUN_EXECUTOR": ("k8s", "multiprocess"),
}


@pytest.mark.parametrize(("variable", "value"), pairs(BAD))
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    with pytest.raises(UsageError, match=f"^invalid setting: {variable}: "):
        loaded(monkeypatch, **{variable: value})


GOOD = {
    **dict.fromkeys(SHARES, ("0", "1", "0.5", "1e-3")),
    **dict.fromkeys(COUNTS, ("1", "1000")),
    **dict.fromkeys(SECONDS, ("0.1", "10", "600")),
    **dict.fromkeys(SWITCHES, ("true", "false", "True", "1", "0")),
    "ALLOW_SYNTHETIC_FALLBACK": ("auto", "true", "false"),
    "NHM_NOW": ("2026-11-22T02:00:00Z", "2026-11-22"),
    "RETRAINING_COOLDOWN_HOURS": ("0", "0.5", "24"),
    "SERVICE_RETRIES": ("0", "4"),
    "NOTIFY_URLS": ("json://hive.example", "json://a.example, jsons://b.example/path"),
    **dict.fromkeys(QUANTITIES, ("1", "0.5", "500m", "2Gi")),
    "RUN_RESOURCES": ("{}", '{"technical": {"memory": "4Gi"}}'),
    "RUN_NODE_SELECTOR": ("{}", '{"disk": "ssd"}'),
    "RUN_TOLERATIONS": ("[]", '[{"key": "gpu", "operator": "Exists"}]'),
    "RUN_EXECUTOR": ("in_process", "k8s_job"),
}


@pytest.mark.parametrize(("variable", "value"), pairs(GOOD))
def test_a_value_at_the_edge_of_what_can_be_used_is_taken(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    loaded(monkeypatch, **{variable: value})


def test_every_variable_that_takes_no_mere_text_is_tried_above():
    texts = {
        "NHM_HOME",
        "DAGSTER_HOME",
        "NHM_STORAGE",
        "ENVIRONMENT",
        "MONGODB_URI",
        "MONGODB_DATABASE",
        "MLFLOW_TRACKING_URI",
        "FEEDBACK_COLLECTION",
        "OPINIONS_COLLECTION",
        "PLANS_COLLECTION",
        "FEATURES_COLLECTION",
        "DAGSTER_URL",
        "NOTIFY_OUTCOMES",
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "POD_NAME",
        "POD_NAMESPACE",
        "SPECIALIST_NAMESPACE",
        "SPECIALIST_DEPLOYMENT",
        "SPECIALIST_STATUS_URL",
    }
    assert {name.upper() for name in Settings.model_fields} == set(BAD) | texts
    assert set(BAD) == set(GOOD)


def test_all_bad_values_are_named_in_one_go(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError) as caught:
        loaded(monkeypatch, F1_THRESHOLD="2", MIN_TEST_ROWS="none", NHM_NOW="now")
    for variable in ("F1_THRESHOLD", "MIN_TEST_ROWS", "NHM_NOW"):
        assert f"{variable}: " in str(caught.value)


@pytest.mark.parametrize("variable", [name.upper() for name in Settings.model_fields])
def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch, variable: str):
    without = Settings.load()
    assert loaded(monkeypatch, **{variable: ""}) == without


def with_secrets(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    return loaded(
        monkeypatch,
        MONGODB_URI=f"mongodb://nhm:{SECRET}@host",
        MLFLOW_TRACKING_URI=f"http://nhm:{SECRET}@host",
        NOTIFY_URLS=f"json://hive.example/{SECRET}",
        **environment,
    )


def test_secrets_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch):
    settings = with_secrets(monkeypatch)
    assert SECRET in settings.mongodb_uri.get_secret_value()
    assert SECRET in settings.mlflow_tracking_uri.get_secret_value()
    assert SECRET in settings.notify_urls.get_secret_value()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown


def test_a_refusal_of_another_setting_shows_no_secret(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError) as caught:
        with_secrets(monkeypatch, F1_THRESHOLD=SECRET)
    assert "F1_THRESHOLD" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", [f"ftp://nhm:{SECRET}@host/dir", f"s3://key:{SECRET}@bucket/prefix"])
def test_a_storage_address_with_a_password_is_refused_since_addresses_of_files_are_shown(
    monkeypatch: pytest.MonkeyPatch, address: str
):
    with pytest.raises(UsageError, match="NHM_STORAGE: ") as caught:
        loaded(monkeypatch, NHM_STORAGE=address)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", ["s3://bucket/prefix", "/data/with@sign", "memory://x"])
def test_a_storage_address_without_one_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, address: str):
    assert loaded(monkeypatch, NHM_STORAGE=address).storage == address


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
def test_the_clock_can_be_set_and_counts_in_utc(monkeypatch: pytest.MonkeyPatch, text: str, moment: datetime):
    now = loaded(monkeypatch, NHM_NOW=text).now()
    assert now == moment
    assert now.utcoffset().total_seconds() == 0


def test_a_clock_that_is_set_does_not_follow_the_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    assert loaded(monkeypatch, NHM_NOW="2026-11-22T02:00:00").now() == datetime(2026, 11, 22, 2, tzinfo=UTC)


def test_without_a_set_clock_time_goes_on_in_utc():
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
        (" Production ", "auto", False),
        ("production", "true", True),
        ("development", "false", False),
    ],
)
def test_synthetic_rows_are_allowed_unless_in_production_or_as_one_says(
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    fallback: str,
    allowed: bool,  # noqa: FBT001 - a table
):
    settings = loaded(monkeypatch, ENVIRONMENT=environment, ALLOW_SYNTHETIC_FALLBACK=fallback)
    assert settings.synthetic_fallback is allowed


def test_everything_on_this_machine_lies_under_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings = loaded(monkeypatch, NHM_HOME=str(tmp_path))
    assert settings.nhm_home == tmp_path
    assert settings.dagster_folder == tmp_path / "dagster"
    assert settings.storage == str(tmp_path / "storage")


@pytest.mark.parametrize("prefix", ["", "~/"])
@pytest.mark.parametrize("variable", ["NHM_HOME", "DAGSTER_HOME", "NHM_STORAGE"])
def test_a_folder_means_the_same_from_wherever_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, prefix: str
):
    monkeypatch.chdir(tmp_path)
    settings = loaded(monkeypatch, HOME=str(tmp_path), **{variable: f"{prefix}here"})
    folders = {
        "NHM_HOME": settings.nhm_home,
        "DAGSTER_HOME": settings.dagster_folder,
        "NHM_STORAGE": Path(settings.storage),
    }
    assert folders[variable] == tmp_path / "here"


def test_dagster_is_told_where_its_instance_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "")
    set_library_environment(loaded(monkeypatch, NHM_HOME=str(tmp_path)))
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")


def test_dagsters_queue_is_told_how_many_runs_may_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DAGSTER_HOME", "")
    set_library_environment(loaded(monkeypatch, NHM_HOME=str(tmp_path), MAX_CONCURRENT_RUNS="3"))
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
def test_the_outcomes_that_are_told_are_a_list_with_commas(text: str, expected: set[str]):
    assert Settings(notify_outcomes=text).notified_outcomes == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [("production", True), (" Production", True), ("prod", True), ("development", False), ("staging", False)],
)
def test_production_is_recognized_by_both_its_names(environment, expected):
    settings = Settings(environment=environment)
    assert (settings.in_production, settings.synthetic_fallback) == (expected, not expected)


def test_an_outcome_that_does_not_exist_is_refused_before_nobody_is_told_of_it(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"NOTIFY_OUTCOMES.*brokn.*broken"):
        loaded(monkeypatch, NOTIFY_OUTCOMES="Held, brokn")
    assert loaded(monkeypatch, NOTIFY_OUTCOMES="Held, broken,").notified_outcomes == {"held", "broken"}
