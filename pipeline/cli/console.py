"""A console that prints text literally: no markup, no control characters."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.shown import printable


class PlainConsole(Console):
    """Prints untrusted text, such as model names and error messages; takes the arguments of rich's Console."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **given})

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(printable(text), **given)
