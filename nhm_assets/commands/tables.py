"""Tables for the terminal."""

from collections.abc import Collection, Iterable, Sequence

_WIDTH_OF_A_FILE = 140


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str] = ()
) -> None:
    """Print a table; names in `numbers` are aligned to the right, and these and the first column never wrap.

    A pipe or a file has no width of its own, and gets one that breaks no line.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    for position, column in enumerate(columns):
        number = column in numbers
        table.add_column(
            column, justify="right" if number else "left", overflow="fold", no_wrap=number or position == 0
        )
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    console.print(table)
