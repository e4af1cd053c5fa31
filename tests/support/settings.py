"""Settings from environment variables."""

import pytest

from nhm_assets.settings import Settings


def settings_from(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    """The settings that a process with these variables would load."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load()
