"""Invalid values are rejected, and the error names the variable. Valid values are accepted."""

import re

import pytest
from pydantic import ValidationError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import FIVE
from nhm_assets.estimators.families import FAMILIES
from nhm_assets.settings import Settings
from tests.support.configured import configured
from tests.support.settings import settings_from

FRACTIONS = (
    "PRECISION_THRESHOLD",
    "RECALL_THRESHOLD",
    "F1_THRESHOLD",
    "MAX_F1_REGRESSION",
    "SHADOW_AGREEMENT",
    "MAX_F1_REGRESSION_TO_REFERENCE",
    "GATE_CONFIDENCE",
    "MIN_FEEDBACK_RATING",
    "MAX_REJECTED_FRACTION",
    "SERVED_FALLBACK_SHARE",
)


COUNTS = (
    "FEEDBACK_WINDOW_DAYS",
    "MIN_REAL_SAMPLES",
    "MIN_TEST_ROWS",
    "MAX_FEEDBACK_AGE_DAYS",
    "TUNING_TRIALS",
    "TRAINING_THREADS",
    "RETRAIN_PROCESSES",
    "RETRAINING_FEEDBACK_THRESHOLD",
    "INCREMENT_THRESHOLD",
    "MAX_CONCURRENT_RUNS",
    "MAX_RUN_SECONDS",
    "KEEP_VERSIONS",
    "KEEP_WEEKS",
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
    "EXPORTER_REFRESH_S",
    "SERVED_QUALITY_TIMEOUT_S",
    "TUNING_SECONDS",
    "LLM_TIMEOUT_S",
)


SWITCHES = (
    "HYPERPARAMETER_TUNING",
    "FORCE_RETRAIN",
    "INCREMENT",
    "ALLOW_UNVERIFIED_CHAMPION",
    "RESTORE_FOREIGN_MOVES",
    "ROLLBACK_ON_FAILED_ROLLOUT",
    "WRITE_SHADOW_COMPARISONS",
    "INCLUDE_SCRIPTED_FEEDBACK",
    "ALLOW_LLM_DATA",
)


DOLLARS = ("LLM_MAX_COST", "LLM_INPUT_PRICE", "LLM_OUTPUT_PRICE")


QUANTITIES = ("RUN_CPU_REQUEST", "RUN_CPU_LIMIT", "RUN_MEMORY")


MAPS = ("RUN_RESOURCES", "RUN_NODE_SELECTOR")


JSON = (*MAPS, "RUN_TOLERATIONS", "RESTART_AFTER_MINUTES")


def pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(variable, value) for variable, texts in values.items() for value in texts]


BAD = {
    **dict.fromkeys(FRACTIONS, ("1.01", "-0.01", "75", "nan", "inf", "-inf", "high", "0,75", "75%", " ")),
    **dict.fromkeys(COUNTS, ("0", "-1", "1.5", "many", "nan", "1e3", "30 days")),
    **dict.fromkeys(SECONDS, ("0", "-1", "nan", "inf", "soon", "10s")),
    **dict.fromkeys(SWITCHES, ("perhaps", "2", "-1")),
    "ALLOW_SYNTHETIC_FALLBACK": ("maybe", "automatic", "2"),
    "FIRST_WEEK": ("2026-03-02", "2025-12-28", "2026-3-1-1", "March", "20260301"),
    "NHM_NOW": ("yesterday", "2026-13-01", "2026-02-30T00:00:00", "12:00", "20261122", "1.5e9"),
    "RETRAINING_COOLDOWN_HOURS": ("-1", "nan", "inf", "a day"),
    "SERVICE_RETRIES": ("-1", "1.5", "often"),
    "SHADOW_PLANS": ("-1", "1.5", "all"),
    "LLM_MAX_SHARE": ("1", "-0.1", "nan", "30%"),
    "LLM_WEIGHT": ("0", "1.1", "nan", "little"),
    "LLM_CONDITIONAL": ("keep", "Drop", "true"),
    "LLM_PROVIDER": ("local", "OpenAI", "azure"),
    "LLM_BASE_URL": ("llm.example", "https://key@llm.example/v1"),
    "LLM_RETRIES": ("-1", "1.5", "often"),
    **dict.fromkeys(DOLLARS, ("-1", "nan", "inf", "$5")),
    "EXPORTER_PORT": ("0", "65536", "1.5", "http"),
    "AB_TEST_TRAFFIC_SPLIT": ("0", "1", "nan", "most"),
    "GATE_FOLDS": ("-1", "3", "1.5", "all"),
    "GATE_MIDWEEK_CONFIDENCE": ("0.49", "1", "nan", "80"),
    "REFERENCE_WEEKS": ("-1", "1.5", "never"),
    "NOTIFY_URLS": ("hello", "https://hive.example/hook", "json://", "json://hive.example mail@hive.example"),
    **dict.fromkeys(QUANTITIES, ("much", "-1", "2 Gi", "1,5")),
    **dict.fromkeys(MAPS, ("{", "disk=ssd", "[]", '"text"')),
    "RUN_TOLERATIONS": ("[", "{}", '["text"]'),
    "RUN_EXECUTOR": ("k8s", "multiprocess"),
    "SERVED_CLASSES": ("labels", "Names", "0"),
    "LOG_FORMAT": ("text", "JSON", "true"),
    "MLFLOW_UI_URL": ("mlflow.example", "ftp://mlflow.example", "https://ada:s3cret@mlflow.example"),
    "CODE_URL": ("git@git.example:nhm", "git.example", "https://token@git.example/nhm"),
    "PLAN_URL": ("https://hive.example/plans", "hive.example/{plan_id}", "https://token@hive.example/{plan_id}"),
    "ASSET_OWNERS": ("ada", "team: models", "ada@example.org; bob@example.org"),
    "CALIBRATION": ("platt", "Auto", "true"),
    "MODEL_FAMILY": ("forest", "Voting", "xgboost"),
    "FOREIGN_CHAMPION": ("keep", "true", "Replace"),
    "RESTART_AFTER_MINUTES": ("[]", "[0]", "5", "[-1]", "often"),
    "ROLLOUT_PARALLEL": ("0", "11", "1.5"),
    "RESTART_FOR_HOURS": ("-1", "nan", "inf", "a day"),
    "ENVIRONMENT": ("prod", "Production", " production", "test", "live"),
}


@pytest.mark.parametrize(("variable", "value"), pairs(BAD))
def test_an_invalid_value_is_rejected_and_the_error_names_the_variable_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    with pytest.raises(UsageError, match=f"^invalid setting: {variable}: ") as caught:
        settings_from(monkeypatch, **{variable: value})
    said = str(caught.value)
    assert not re.search(r"[Vv]alue error|should|[Ii]nput |pattern|cannot be used", said)
    if "must" in said and "@" not in value and variable != "NOTIFY_URLS":
        assert f"but is {value!r}" in said or variable in JSON


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PRECISION_THRESHOLD", "abc", "must be a number, but is 'abc'"),
        ("F1_THRESHOLD", "1.5", "must be at most 1, but is '1.5'"),
        ("MIN_TEST_ROWS", "1.5", "must be a whole number, but is '1.5'"),
        ("MODEL_FAMILY", "foo", f"must be one of {', '.join(FAMILIES)}, auto, but is 'foo'"),
        ("FIRST_WEEK", "2026-03-02", "must be a Sunday, .* such as 2026-03-01, but is '2026-03-02'"),
        ("ENVIRONMENT", "prod", "must be 'development', 'staging' or 'production', but is 'prod'"),
        ("RUN_RESOURCES", '{"technical": {"memory": "2 Gi"}}', "technical.memory must be an amount .*, but is '2 Gi'"),
        ("RUN_RESOURCES", '{"technical": {"disk": "2Gi"}}', "technical.disk is an unknown key"),
        ("RUN_RESOURCES", "{", "must be valid JSON, but is '{'"),
        ("NHM_STORAGE", "s3:/bucket", "must be a folder or an address such as s3://bucket/prefix"),
        ("NHM_STORAGE", "mlflow-artifacts:nhm", "must be .* such as mlflow-artifacts:/nhm, but is .*"),
    ],
)
def test_the_error_says_what_the_value_must_be(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str):
    with pytest.raises(UsageError, match=rf"^invalid setting: {variable}: {said}$"):
        settings_from(monkeypatch, **{variable: value})


@pytest.mark.parametrize("address", ["gs:/bucket", "file:/data", "s3:bucket", "s3//bucket/prefix", "S3:/bucket"])
def test_an_address_that_lacks_a_slash_or_the_colon_is_no_folder(monkeypatch: pytest.MonkeyPatch, address: str):
    with pytest.raises(
        UsageError, match=r"^invalid setting: NHM_STORAGE: must be a folder or an address such as \w+://"
    ):
        settings_from(monkeypatch, NHM_STORAGE=address)
    assert settings_from(monkeypatch, NHM_STORAGE=f"./{address}").storage.startswith("/")


@pytest.mark.parametrize("variable", ["LLM_API_KEY", "MONGODB_URI", "MLFLOW_TRACKING_URI", "NOTIFY_URLS"])
def test_the_value_of_a_secret_setting_is_in_no_error(variable: str):
    with pytest.raises(ValidationError) as caught:
        Settings(**{variable.lower(): ["s3cret"]})
    said = str(Settings.unusable(caught.value))
    assert f"{variable}: must be text" in said
    assert "s3cret" not in said


def test_an_address_with_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    for variable, address in {"CODE_URL": "https://ada:s3cret@git.example", "NHM_STORAGE": "s3:/ada:s3cret@b"}.items():
        with pytest.raises(UsageError, match=f"{variable}: must ") as caught:
            settings_from(monkeypatch, **{variable: address})
        assert "s3cret" not in str(caught.value)


GOOD = {
    **dict.fromkeys(FRACTIONS, ("0", "1", "0.5", "1e-3")),
    **dict.fromkeys(COUNTS, ("1", "1000")),
    "MAX_RUN_SECONDS": ("3000", "86400"),
    **dict.fromkeys(SECONDS, ("0.1", "10", "600")),
    **dict.fromkeys(SWITCHES, ("true", "false", "True", "1", "0")),
    "ALLOW_SYNTHETIC_FALLBACK": ("auto", "true", "false"),
    "FIRST_WEEK": ("2026-01-04", "2026-11-15"),
    "NHM_NOW": ("2026-11-22T02:00:00Z", "2026-11-22"),
    "RETRAINING_COOLDOWN_HOURS": ("0", "0.5", "24"),
    "SERVICE_RETRIES": ("0", "4"),
    "SHADOW_PLANS": ("0", "2000"),
    "LLM_MAX_SHARE": ("0", "0.3", "0.99"),
    "LLM_WEIGHT": ("0.01", "0.3", "1"),
    "LLM_CONDITIONAL": ("drop", "review"),
    "LLM_PROVIDER": ("openai", "anthropic"),
    "LLM_BASE_URL": ("http://127.0.0.1:8000/v1", "https://llm.example"),
    "LLM_RETRIES": ("0", "5"),
    **dict.fromkeys(DOLLARS, ("0", "0.15", "100")),
    "EXPORTER_PORT": ("1", "9465", "65535"),
    "AB_TEST_TRAFFIC_SPLIT": ("0.5", "0.99"),
    "GATE_FOLDS": ("0", "1", "2"),
    "GATE_MIDWEEK_CONFIDENCE": ("0.5", "0.8", "0.999"),
    "REFERENCE_WEEKS": ("0", "8", "52"),
    "NOTIFY_URLS": ("json://hive.example", "json://a.example, jsons://b.example/path"),
    **dict.fromkeys(QUANTITIES, ("1", "0.5", "500m", "2Gi")),
    "RUN_RESOURCES": ("{}", '{"technical": {"memory": "4Gi"}}'),
    "RUN_NODE_SELECTOR": ("{}", '{"disk": "ssd"}'),
    "RUN_TOLERATIONS": ("[]", '[{"key": "gpu", "operator": "Exists"}]'),
    "RUN_EXECUTOR": ("in_process", "k8s_job"),
    "SERVED_CLASSES": ("names", "codes"),
    "LOG_FORMAT": ("console", "json"),
    "MLFLOW_UI_URL": ("http://127.0.0.1:5000", "https://mlflow.example/"),
    "CODE_URL": ("https://git.example/nhm-assets/blob/main",),
    "PLAN_URL": ("https://hive.example/plans/{plan_id}",),
    "ASSET_OWNERS": ("team:models", "ada@example.org, team:models"),
    "CALIBRATION": ("auto", "none", "sigmoid", "isotonic"),
    "MODEL_FAMILY": (*FAMILIES, "auto"),
    "FOREIGN_CHAMPION": ("replace", "compare", "refuse"),
    "RESTART_AFTER_MINUTES": ("[5]", "[0.5, 60]"),
    "ROLLOUT_PARALLEL": ("1", "10"),
    "RESTART_FOR_HOURS": ("0", "24"),
    "ENVIRONMENT": ("development", "staging", "production"),
}


@pytest.mark.parametrize(("variable", "value"), pairs(GOOD))
def test_a_valid_value_is_accepted(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    settings_from(monkeypatch, **{variable: value})


def test_every_setting_that_is_not_plain_text_is_in_the_tables_above():
    texts = {
        "NHM_HOME",
        "DAGSTER_HOME",
        "NHM_STORAGE",
        "SPECIALISTS_FILE",
        "LLM_DATASET_DIR",
        "LLM_MODEL",
        "LLM_API_KEY",
        "MONGODB_URI",
        "MONGODB_DATABASE",
        "MLFLOW_TRACKING_URI",
        "FEEDBACK_COLLECTION",
        "OPINIONS_COLLECTION",
        "PLANS_COLLECTION",
        "FEATURES_COLLECTION",
        "SCRIPTED_FEEDBACK_PREFIXES",
        "DAGSTER_URL",
        "RUNBOOK_URL",
        "AB_TEST_HASH_SEED",
        "NHM_ACTOR",
        "ACTOR_HEADER",
        "NOTIFY_OUTCOMES",
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "POD_NAME",
        "POD_NAMESPACE",
        "SPECIALIST_NAMESPACE",
        "SPECIALIST_DEPLOYMENT",
        "SPECIALIST_STATUS_URL",
        "RUN_PRIORITY_CLASS",
    }
    assert {name.upper() for name in Settings.model_fields} == set(BAD) | texts
    assert set(BAD) == set(GOOD)


def test_one_error_names_all_invalid_values(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError) as caught:
        settings_from(monkeypatch, F1_THRESHOLD="2", MIN_TEST_ROWS="none", NHM_NOW="now")
    for variable in ("F1_THRESHOLD", "MIN_TEST_ROWS", "NHM_NOW"):
        assert f"{variable}: " in str(caught.value)


@pytest.mark.parametrize("address", ["s3://bucket/prefix", "/data/with@sign", "memory://x"])
def test_a_storage_address_without_a_password_is_accepted(monkeypatch: pytest.MonkeyPatch, address: str):
    assert settings_from(monkeypatch, NHM_STORAGE=address).storage == address


def test_an_unknown_outcome_is_rejected(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"NOTIFY_OUTCOMES.*brokn.*broken"):
        settings_from(monkeypatch, NOTIFY_OUTCOMES="Held, brokn")
    assert settings_from(monkeypatch, NOTIFY_OUTCOMES="Held, broken,").notified_outcomes == {"held", "broken"}


CONTRADICTIONS = [
    ({"ENVIRONMENT": "production", "NHM_NOW": "2026-11-22T02:00:00"}, "remove NHM_NOW"),
    ({"ENVIRONMENT": "production", "LLM_DATASET_DIR": "made"}, "unset it, or set ALLOW_LLM_DATA=true"),
    ({"ROLLOUT_TIMEOUT_S": "2881"}, r"so 14405 s, and MAX_RUN_SECONDS \(14400\)"),
    ({"MAX_RUN_SECONDS": "2999"}, r"ROLLOUT_TIMEOUT_S \(600\) each, so 3000 s"),
]


@pytest.mark.parametrize(("values", "reason"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], reason: str
):
    with pytest.raises(UsageError, match=rf"settings contradict each other: .*{reason}"):
        settings_from(monkeypatch, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"ENVIRONMENT": "staging", "NHM_NOW": "2026-11-22T02:00:00"},
        {"ENVIRONMENT": "staging", "LLM_DATASET_DIR": "made"},
        {"ENVIRONMENT": "production", "LLM_DATASET_DIR": "made", "ALLOW_LLM_DATA": "true"},
        {"ROLLOUT_TIMEOUT_S": "2880"},
        {"MAX_RUN_SECONDS": "3000"},
    ],
)
def test_settings_at_the_limit_are_accepted(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]):
    settings_from(monkeypatch, **values)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings alone: what else is logged depends on the tests before, which may have set the level."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_setting_that_takes_the_effect_from_a_check_is_named_at_start_once(monkeypatch: pytest.MonkeyPatch, caplog):
    from nhm_assets import settings

    settings._say_once.cache_clear()
    for _ in range(2):
        settings_from(monkeypatch, F1_THRESHOLD="0.7")
    (message,) = warnings_in(caplog)
    assert message.startswith("F1_THRESHOLD 0.7 decides nothing: ")
    assert "0.724" in message


def test_thresholds_in_specialists_file_that_take_the_effect_from_a_check_are_named_at_start(
    monkeypatch: pytest.MonkeyPatch, caplog, tmp_path
):
    (tmp_path / "specialists.yaml").write_text("[{name: technical}, {name: lax, thresholds: {recall: 0, f1: 0.8}}]")
    with configured(*FIVE):
        settings_from(monkeypatch, SPECIALISTS_FILE=str(tmp_path / "specialists.yaml"))
    (message,) = warnings_in(caplog)
    assert message.startswith("With the thresholds of lax in SPECIALISTS_FILE, RECALL_THRESHOLD is 0")


def test_what_the_defaults_leave_idle_is_no_warning_but_is_known(monkeypatch: pytest.MonkeyPatch, caplog):
    """F1(0.75, 0.70) is 0.724. Nobody chose 0.72, so nobody is alarmed; `nhm settings` and `nhm status` name it."""
    from nhm_assets import settings

    settings._say_once.cache_clear()
    with caplog.at_level("INFO", logger="nhm_assets.settings"):
        (remark,) = settings_from(monkeypatch).remarks
    assert "F1_THRESHOLD 0.72 decides nothing" in remark.sentence
    assert [(record.levelname, record.message) for record in caplog.records] == [("INFO", remark.sentence)]


def test_a_mistyped_setting_is_named_once(monkeypatch: pytest.MonkeyPatch, caplog):
    from nhm_assets import settings

    settings._warn_of_foreign_settings.cache_clear()
    for _ in range(2):
        settings_from(monkeypatch, PRECISION_TRESHOLD="0.8")
    assert warnings_in(caplog) == ["PRECISION_TRESHOLD is set but not read: did you mean PRECISION_THRESHOLD?"]


def test_foreign_names_are_named_with_what_to_set_instead_and_are_not_read(monkeypatch: pytest.MonkeyPatch, caplog):
    from nhm_assets import settings
    from nhm_assets.domain.foreign_settings import INSTEAD

    without = settings_from(monkeypatch)
    settings._warn_of_foreign_settings.cache_clear()
    assert settings_from(monkeypatch, **dict.fromkeys(INSTEAD, "7")) == without
    assert "FEEDBACK_MONGODB_COLLECTION is set but not read: set FEEDBACK_COLLECTION" in warnings_in(caplog)
    assert len(warnings_in(caplog)) == len(INSTEAD) == 11
    Settings.load()
    assert len(warnings_in(caplog)) == len(INSTEAD)


def test_what_to_set_instead_exists():
    from nhm_assets.domain.foreign_settings import INSTEAD

    named = {word for instead in INSTEAD.values() for word in re.findall(r"\b[A-Z0-9]+_[A-Z0-9_]+\b", instead)}
    assert named <= {name.upper() for name in Settings.model_fields}
    assert not set(INSTEAD) & {name.upper() for name in Settings.model_fields}
