"""Text of a file as a message may show it: short, between quotes, and with nothing that moves a terminal."""

from __future__ import annotations

MOST = 48


def shown(text: str) -> str:
    r"""The text between quotes; what cannot be seen is a question mark.

    >>> shown("north"), shown("a\x1b[2J\u202eb")
    ('"north"', '"a?[2J?b"')
    """
    kept = text if len(text) <= MOST else text[: MOST - 1] + "…"
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in kept) + '"'
