"""A console on which every text stands as it is: no markup, and nothing that a terminal would obey."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.shown import printable


class PlainConsole(Console):
    """Prints texts of others, such as names of models and errors of sinks; takes what rich's own console takes."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **given})

    def render_str(self, text: str, **given: Any) -> Text:
        return super().render_str(printable(text), **given)
