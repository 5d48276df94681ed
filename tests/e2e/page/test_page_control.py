"""What the live page lets its reader do: only with the token, and only what the program allows."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.e2e

TOKEN = "sesame-open-7"


def test_without_a_token_there_is_nothing_to_press(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Neither controls nor a trace of a run that is not traced."""
    seen = look(serve(synthetic).url)
    seen.wait("document.querySelector('#stages tbody tr') !== null")
    assert not seen.page.is_visible("#control")
    assert not seen.page.is_visible("#trace")


def test_the_token_is_asked_for(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """A wrong one is said to be wrong; the right one is kept over a reload."""
    seen = look(serve(synthetic, token=TOKEN).url, allowed=("status of 401",))
    seen.wait_link("locked")
    assert "only to those who know its token" in seen.text("#ask-token")
    seen.page.keyboard.type("not-the-one")
    seen.page.keyboard.press("Enter")
    seen.wait("document.getElementById('ask-token').innerText.includes('not the right one')")
    seen.page.keyboard.type(TOKEN)
    seen.page.keyboard.press("Enter")
    seen.wait_link("live")
    seen.page.reload()
    seen.wait_link("live")


def test_the_token_is_asked_for_again(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Who leaves the dialogue, however often, finds a way back to it, without a reload."""
    seen = look(serve(synthetic, token=TOKEN).url, allowed=("status of 401",))
    seen.wait_link("locked")
    for _ in range(3):
        seen.page.keyboard.press("Escape")
    seen.wait("!document.getElementById('ask-token').open")
    assert seen.text("#banner-title") == "Locked"
    seen.page.click("#try-now")
    seen.wait("document.getElementById('ask-token').open")
    seen.page.keyboard.type(TOKEN)
    seen.page.keyboard.press("Enter")
    seen.wait_link("live")
    seen.wait_notice("none")
    assert not seen.page.is_visible("#try-now")


def test_the_address_may_carry_the_token(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """After the hash, which no server gets to see; the page takes it out of the address."""
    seen = look(f"{serve(synthetic, token=TOKEN).url}#token={TOKEN}")
    seen.wait_link("live")
    assert TOKEN not in seen.page.url


def test_pause_and_resume(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """By keyboard; the page says that it is paused, whoever did it."""
    seen = look(f"{serve(synthetic, token=TOKEN).url}#token={TOKEN}")
    seen.page.wait_for_selector("#pause")
    seen.page.focus("#pause")
    seen.page.keyboard.press("Enter")
    seen.wait_notice("paused")
    seen.wait("document.getElementById('pause').textContent === 'Resume'")
    seen.page.keyboard.press("Enter")
    seen.wait_notice("none")


def test_a_paused_file_run_is_not_called_stuck(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Lossless runs have no heartbeats; as long as the server says that they are paused, the page says so, too."""
    stages = [{"kind": "chaos", "slow": "50ms"}, *synthetic["stages"]]
    config = {"source": {"kind": "synthetic", "frames": None}, "stages": stages, "mode": "lossless"}
    seen = look(f"{serve(config, token=TOKEN).url}#token={TOKEN}")
    seen.wait_notice("none")
    seen.page.click("#pause")
    seen.wait_notice("paused")
    seconds = "parseFloat(document.getElementById('duration').textContent)"
    seen.wait(f"until => {seconds} > until", seen.page.evaluate(seconds) + 3)
    assert seen.text("#banner-title") == "Paused"
    seen.page.click("#pause")
    seen.wait_notice("none")


def test_settings_are_changed_or_refused_with_words(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """What is refused changes nothing and stays in the field; what is taken is in the list of changes."""
    seen = look(f"{serve(synthetic, token=TOKEN).url}#token={TOKEN}", allowed=("status of 422",))
    deadline = seen.page.get_by_label("Deadline")
    deadline.fill("1")
    deadline.press("Enter")
    seen.wait("document.getElementById('control-said').textContent.startsWith('Refused: ')")
    assert deadline.input_value() == "1"
    deadline.fill("400")
    deadline.press("Enter")
    seen.wait("document.getElementById('changes').innerText.includes('→ 400')")
    seen.wait("document.getElementById('tiles').innerText.includes('deadline 400 ms')")


def test_stop_asks_first(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Escape keeps the run going; saying so ends it in order."""
    served = serve(synthetic, token=TOKEN)
    seen = look(f"{served.url}#token={TOKEN}", outages=True)
    seen.page.click("#stop")
    assert seen.page.evaluate("document.activeElement.textContent") == "Keep it running"
    seen.page.keyboard.press("Escape")
    seen.page.click("#stop")
    seen.page.keyboard.press("Enter")
    seen.wait("!document.getElementById('ask-stop').open")
    assert served.process.poll() is None
    seen.page.click("#stop")
    seen.page.click("#stop-for-sure")
    seen.wait_link("over")
    assert served.ended()["balanced"]
