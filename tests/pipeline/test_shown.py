"""Texts of others as they may be shown."""

from __future__ import annotations

import io
import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pipeline.cli.console import PlainConsole
from pipeline.shown import in_one_line, printable, printable_name

TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def test_what_is_shown_as_it_is() -> None:
    """Letters of all scripts, signs and pictures."""
    text = "größer, 日本\u3000語, עברית, می\u200cخو, 100\u00a0%, 🚗 [bold]x[/bold]"
    assert printable(text) == text
    assert printable_name(text) == text


@given(TEXT)
def test_nothing_is_left_that_shows_nothing(text: str) -> None:
    """No control, no change of direction, no half of a pair."""
    shown = in_one_line(text)
    assert printable_name(shown) == shown
    shows = [letter for letter in shown if letter not in "\u200c\u200d"]
    assert all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shows)


@given(st.text())
def test_json_means_the_same(text: str) -> None:
    """The escapes are JSON's own."""
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


def test_a_console_prints_texts_as_they_are() -> None:
    """Neither markup nor controls mean anything, in lines and in tables."""
    out = io.StringIO()
    console = PlainConsole(file=out, width=80)
    console.print("sink [/x] FAILED: \x1b[2J :car:", style="red")
    table = Table("part")
    table.add_row("[bold]a\x07")
    console.print(table)
    assert "sink [/x] FAILED: \\u001b[2J :car:" in out.getvalue()
    assert "[bold]a\\u0007" in out.getvalue()
