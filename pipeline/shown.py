"""Text of others as it may be shown: it may hold what a terminal obeys, or what the eye takes for something else."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    r"""Return a text with escapes, `\u202e`, for whatever shows nothing itself: controls, changes of direction, halves.

    Line ends and tabs stay. Between the quotes of a JSON text, the escapes mean what they stand for.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else json.dumps(letter)[1:-1] for letter in text)


def in_one_line(text: str) -> str:
    """Return a text as one printable line."""
    return printable(" ".join(text.split()))
