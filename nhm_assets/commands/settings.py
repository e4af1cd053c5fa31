"""`nhm settings`: every environment variable, its default, its value and its meaning."""

import click
from pydantic import SecretStr

from nhm_assets.settings import Settings
from resources.addresses import masked


@click.command()
def settings() -> None:
    """List every setting: variable, value in force, meaning. Secrets are masked."""
    from rich.console import Console
    from rich.table import Table

    loaded = Settings.load()
    table = Table("variable", "value", "meaning", box=None, pad_edge=False)
    for name, field in Settings.model_fields.items():
        value = getattr(loaded, name)
        shown = masked(value.get_secret_value()) if isinstance(value, SecretStr) else value
        table.add_row(name.upper(), "" if shown is None else str(shown), field.description)
    Console().print(table)
