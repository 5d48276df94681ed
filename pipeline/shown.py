"""Escapes untrusted text for display: it may hold terminal commands, or change the direction of writing."""

from __future__ import annotations

import json
import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian words and some emoji need them."""


def printable(text: str, *, kept: str = "\n\t") -> str:
    r"""Return a text with escapes, `\u202e`, for controls, changes of direction and halves of letters.

    Between the quotes of a JSON text, the escapes mean what they stand for.

    Args:
        text: any.
        kept: controls that stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if _shows(letter) or letter in kept else json.dumps(letter)[1:-1] for letter in text)


def printable_name(text: str) -> str:
    """Return a name as it can stand in a line, a label or a cell."""
    return printable(text, kept="")


def in_one_line(text: str) -> str:
    """Return a text as one printable line."""
    return printable(" ".join(text.split()))


def _shows(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"
