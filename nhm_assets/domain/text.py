"""What is text in a document, and what of it can be read.

The Mongo resource decodes bytes that are not UTF-8 to lone surrogates, so one bad string does not stop the reading of
a whole window. Such a string cannot be written or sent back as it is.
"""

from typing import TypeGuard


def is_string(value: object) -> TypeGuard[str]:
    """Whether the value is a string in BSON. JavaScript code is a subclass of str in Python, but no string."""
    return type(value) is str


def is_unreadable(value: object) -> bool:
    """Whether the value is a string that was not UTF-8."""
    if not is_string(value) or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def readable(text: str) -> str:
    """The text with each byte that is not UTF-8 written out, as Python writes bytes."""
    if not is_unreadable(text):
        return text
    # A surrogate that was encoded by itself is three such bytes, so every surrogate here stands for one byte.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def without_middle(text: str, longest: int) -> str:
    """The text, or its first and last words, if it has more characters than that.

    The end of a reason says what to do, so twice as much of it is kept.
    """
    if len(text) <= longest:
        return text
    start, end = (longest - 5) // 3, (longest - 5) * 2 // 3
    return f"{text[:start].rpartition(' ')[0]} ... {text[-end:].partition(' ')[2]}"
