"""`nhm settings`: every environment variable with its value and meaning."""

import click
from pydantic import SecretStr

from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings
from resources.addresses import masked

_ADDRESSES = ("mongodb_uri", "mlflow_tracking_uri")
"""NOTIFY_URLS holds addresses too, but they are secret as a whole: whoever knows one can write there."""


@click.command()
def settings() -> None:
    """List every setting: variable, current value, meaning. Secrets are masked.

    Below the table: settings under which a check can never fail or never pass.
    """
    with startup_without_gc():
        from nhm_assets.commands.tables import print_table

    current = Settings.load()
    rows = [
        [name.upper(), _displayed(name, getattr(current, name)), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]
    print_table("Settings", ("variable", "value", "meaning"), rows)
    for remark in current.remarks:
        click.echo(f"\n{remark.sentence}.")


def _displayed(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return masked(value.get_secret_value()) if name in _ADDRESSES else "***"
    return str(value)
