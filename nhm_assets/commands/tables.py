"""Tables for the terminal."""

from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDTH_OF_A_FILE = 140


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str] = ()
) -> None:
    """Print a table. Columns in `numbers` are aligned right; these and the first column never wrap.

    A pipe or a file has no width of its own. There the table is wide enough not to break its lines.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for position, column in enumerate(columns):
        is_number = column in numbers
        table.add_column(
            column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number or position == 0
        )
    for row in rows:
        table.add_row(*row)
    Console(width=table_width()).print(table)


def table_width() -> int:
    """The number of characters in a line of a table."""
    console = Console()
    return console.width if console.is_terminal else _WIDTH_OF_A_FILE
