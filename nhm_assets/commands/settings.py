"""`nhm settings`: every environment variable, its default, its value and its meaning."""

import click
from pydantic import SecretStr

from nhm_assets.settings import Settings
from resources.addresses import masked

_ADDRESSES = ("mongodb_uri", "mlflow_tracking_uri")
"""Of the other secrets, webhooks are addresses too, and secret as a whole: who knows one can write there."""


@click.command()
def settings() -> None:
    """List every setting: variable, value in force, meaning. Secrets are masked."""
    from nhm_assets.commands.tables import print_table

    loaded = Settings.load()
    rows = []
    for name, field in Settings.model_fields.items():
        shown = _shown(name, getattr(loaded, name))
        rows.append([name.upper(), "" if shown is None else str(shown), field.description or ""])
    print_table("Settings", ("variable", "value", "meaning"), rows)


def _shown(name: str, value: object) -> object:
    """A value as anybody may see it. Of secrets only two are addresses whose host is worth showing."""
    if not isinstance(value, SecretStr):
        return value
    return masked(value.get_secret_value()) if name in _ADDRESSES else "***"
