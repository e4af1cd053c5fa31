"""Replaces blocks of a document by what is made from recorded results.

A block follows a line `<!-- results: NAME -->` and ends before the next empty line.
"""

import re
from collections.abc import Mapping, Sequence

_BLOCK = re.compile(r"(?<=<!-- results: )(\w+) -->\n(?:[^\n]+\n)*")


def with_blocks(text: str, blocks: Mapping[str, Sequence[str]]) -> str:
    """The document with these lines in its blocks, by name."""
    return _BLOCK.sub(lambda found: f"{found[1]} -->\n" + "\n".join(blocks[found[1]]) + "\n", text)


def names_of(text: str) -> set[str]:
    """The names of the document's blocks."""
    return {found[1] for found in _BLOCK.finditer(text)}
