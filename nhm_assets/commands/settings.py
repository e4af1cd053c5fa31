"""`nhm settings`: every environment variable, its default, its value and its meaning."""

import click
from pydantic import SecretStr

from nhm_assets.settings import Settings
from resources.addresses import masked


@click.command()
def settings() -> None:
    """List every setting: variable, value in force, meaning. Secrets are masked."""
    from nhm_assets.commands.tables import print_table

    loaded = Settings.load()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(loaded, name)
        shown = masked(value.get_secret_value()) if isinstance(value, SecretStr) else value
        rows.append([name.upper(), "" if shown is None else str(shown), field.description or ""])
    print_table("Settings", ("variable", "value", "meaning"), rows)
