"""Variables whose names are nearly those of settings."""

import pytest

from nhm_assets.domain.foreign_settings import INSTEAD, warnings_about_mistyped
from nhm_assets.settings import Settings

SETTINGS = [name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PRECISION_TRESHOLD", "PRECISION_THRESHOLD"),
        ("precision_thresholds", "PRECISION_THRESHOLD"),
        ("MIN_TESR_ROWS", "MIN_TEST_ROWS"),
        ("EVNIRONMENT", "ENVIRONMENT"),
        ("NOTIFY_URL", "NOTIFY_URLS"),
        ("MONGODB_URL", "MONGODB_URI"),
        ("NHM_HOM", "NHM_HOME"),
        ("NHM_STROAGE", "NHM_STORAGE"),
    ],
)
def test_a_name_that_is_one_letter_off_is_named_with_the_setting(name: str, meant: str):
    assert warnings_about_mistyped({name: "1"}, SETTINGS) == [
        f"{name.upper()} is set but not read: did you mean {meant}?"
    ]
    assert warnings_about_mistyped({name: ""}, SETTINGS) == []
    assert warnings_about_mistyped({name: "1", meant: "1"}, SETTINGS) == [], "both are set: another program reads it"


def test_other_variables_alarm_nobody():
    of_kubernetes = [
        f"{service}_{name}"
        for service in (
            "KUBERNETES",
            "NHM_CODE",
            "NHM_EXPORTER",
            "NHM_POSTGRESQL",
            "MONGODB",
            "MLFLOW",
            "DAGSTER_WEBSERVER",
        )
        for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR")
    ]
    others = (
        "PATH",
        "HOME",
        "HOSTNAME",
        "NODE_URL",
        "NODE_NAME",
        "NHM_TEST_SERVING_PYTHON",
        "MLFLOW_TRACKING_USERNAME",
    )
    databases = ("DAGSTER_PG_HOST", "DAGSTER_PG_DB", "AWS_ACCESS_KEY_ID", "DAGSTER_CURRENT_IMAGE")
    names = (*of_kubernetes, *others, *databases, *INSTEAD)
    assert warnings_about_mistyped(dict.fromkeys(names, "1"), SETTINGS) == []
    for setting in SETTINGS:
        assert warnings_about_mistyped({setting: "1"}, SETTINGS) == []
