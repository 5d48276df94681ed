"""What the live page shows of a run, and how it looks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PHONE = (360, 780)
DESKTOP = (1440, 900)
AA = 4.5
AA_LARGE = 3.0
"""Least contrast of texts, WCAG 2.2, criterion 1.4.3."""

WATCH_BOXES = """
  window.drawn = [];
  const strokeRect = CanvasRenderingContext2D.prototype.strokeRect;
  CanvasRenderingContext2D.prototype.strokeRect = function (x, y, width, height) {
    const isSeen = this.canvas.id === "picture" && this.lineWidth === 2 && x >= 1 && y >= 1
      && x < this.canvas.width - 1 && y + height < this.canvas.height && height >= 20;
    const edge = () => this.getImageData(Math.round(x), Math.round(y), 1, Math.round(height)).data;
    const before = isSeen ? edge() : null;
    strokeRect.call(this, x, y, width, height);
    if (!isSeen) return;
    const after = edge();
    let changed = 0;
    for (let at = 0; at < after.length; at += 4) {
      if (Math.abs(after[at] - before[at]) + Math.abs(after[at + 1] - before[at + 1])
        + Math.abs(after[at + 2] - before[at + 2]) > 30) changed += 1;
    }
    window.drawn.push({ x: Math.round(x), share: changed / (after.length / 4) });
    if (window.drawn.length > 400) window.drawn.shift();
  };
"""
"""Notes for each box where it is, and which share of the pixels of its left edge it changed."""

FILLED_COLUMNS = """() => {
  const canvas = document.getElementById("strip");
  const row = canvas.getContext("2d").getImageData(0, canvas.height - 57, canvas.width, 1).data;
  return row.filter((_, at) => at % 4 === 3 && row[at] > 60).length;
}"""
"""How many pixels of the strip are set just above its base line."""

LEAST_CONTRASTS = """() => {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("Canvas");
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(rgba(style.color)), light(ground(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text: text.slice(0, 40), ratio: (one + 0.05) / (other + 0.05), isLarge });
  }
  return found;
}"""


@pytest.mark.parametrize("status", ["fresh", "forecast"])
def test_boxes_move_over_the_picture(serve, look, synthetic: dict[str, Any], status: str) -> None:  # type: ignore[no-untyped-def]
    """Their edges change the picture's pixels: solid ones all along, dashed ones, which are forecasts, in part."""
    if status == "forecast":
        chaos = {"kind": "chaos", "slow": "250ms"}
        synthetic = {**synthetic, "stages": [chaos, *synthetic["stages"]], "deadline": "150ms"}
    seen = look(serve(synthetic).url, script=WATCH_BOXES)
    seen.wait("status => document.getElementById('picture-facts').textContent.includes(status)", status)
    seen.page.evaluate("drawn.length = 0")
    seen.wait("new Set(drawn.map((box) => box.x)).size > 12")
    shares = sorted(box["share"] for box in seen.page.evaluate("drawn"))
    usual = shares[len(shares) // 2]
    assert usual > 0.9 if status == "fresh" else 0.2 < usual < 0.85


def test_the_shipped_clip_is_shown(serve, look, pedestrians: Path) -> None:  # type: ignore[no-untyped-def]
    """Its people have numbers, classes and speeds, in the picture's list of objects too; the picture goes on."""
    seen = look(serve({"source": str(pedestrians), "mode": "live", "deadline": "500ms"}).url)
    seen.wait("document.querySelector('#objects tbody')?.innerText.includes('person')")
    pixels = "document.getElementById('picture').toDataURL()"
    first = seen.page.evaluate(pixels)
    seen.wait(f"first => {pixels} !== first", first)
    facts = seen.text("#picture-facts")
    assert "768\u00d7576" in facts
    assert "yolov3-tiny" in seen.text("#detector")
    assert seen.text("#source").startswith("clock")


def test_trails_and_boxes_can_be_turned_on_and_off(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """By keyboard: without boxes nothing is drawn, and trails are long lines behind them."""
    script = """
      window.longest = 0;
      const beginPath = CanvasRenderingContext2D.prototype.beginPath;
      const lineTo = CanvasRenderingContext2D.prototype.lineTo;
      let points = 0;
      CanvasRenderingContext2D.prototype.beginPath = function () { points = 0; beginPath.call(this); };
      CanvasRenderingContext2D.prototype.lineTo = function (x, y) {
        points += 1;
        if (this.canvas.id === "picture") window.longest = Math.max(window.longest, points);
        lineTo.call(this, x, y);
      };
    """
    seen = look(serve(synthetic).url, script=WATCH_BOXES + script)
    seen.wait("drawn.length > 5")
    assert seen.page.evaluate("longest") == 0
    seen.page.focus("#show-boxes")
    seen.page.keyboard.press("Space")
    seen.page.evaluate("drawn.length = 0")
    for _ in range(2):
        seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Space")
    assert seen.page.get_attribute("#show-trails", "aria-pressed") == "true"
    seen.wait("longest > 20")
    assert seen.page.evaluate("drawn.length") == 0


def test_the_strip_fills(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Tick by tick, and the legend counts the frames."""
    seen = look(serve(synthetic).url)
    for wanted in (60, 120):
        seen.wait(f"wanted => ({FILLED_COLUMNS})() > wanted", wanted)
    fresh = int(seen.page.locator("#legend li", has_text="fresh").locator("b").inner_text())
    assert fresh >= 40


def test_the_strip_tells_of_each_frame(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Of the one under the pointer, and of those that the arrow keys reach; meanwhile it stands still."""
    seen = look(serve(synthetic).url)
    seen.wait(f"({FILLED_COLUMNS})() > 60")
    box = seen.page.locator("#strip").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60)
    seen.wait("/^frame \\d+ · fresh · /.test(document.getElementById('strip-facts').textContent)")
    seen.page.mouse.move(5, 5)
    seen.wait("document.getElementById('strip-facts').textContent.startsWith('Choose')")

    seen.page.focus("#strip")
    number = "Number(/^frame (\\d+)/.exec(document.getElementById('strip').getAttribute('aria-valuetext'))[1])"
    newest = seen.page.evaluate(number)
    for key, apart in [("ArrowLeft", -1), ("ArrowLeft", -2), ("ArrowRight", -1), ("PageDown", -21)]:
        seen.page.keyboard.press(key)
        assert seen.page.evaluate(number) == newest + apart
    seen.page.keyboard.press("Escape")
    assert seen.page.get_attribute("#strip", "aria-valuetext") == "no frame chosen"


def test_a_tap_chooses_a_frame(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """The tapped one, not the newest; it stays when the finger is gone, until another tap, Escape or a tap outside."""
    seen = look(serve(synthetic).url, size=PHONE, touch=True)
    seen.wait(f"({FILLED_COLUMNS})() > 60")
    strip = seen.page.locator("#strip")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()

    def tap(from_right_px: int) -> int:
        seen.page.touchscreen.tap(box["x"] + box["width"] - from_right_px, box["y"] + 60)
        seen.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        said = seen.page.get_attribute("#strip", "aria-valuetext")
        assert seen.text("#strip-facts") == said
        return int(said.split()[1])

    newest = "Number(document.querySelector('#strip').getAttribute('aria-valuemax'))"
    chosen = "Number(document.querySelector('#strip').getAttribute('aria-valuenow'))"
    older = tap(20)
    assert seen.page.evaluate(f"{newest} - {chosen}") > 10
    newer = tap(12)
    assert newer > older
    assert tap(20) == older
    for name in ("pointerdown", "pointercancel", "pointerleave"):  # a finger that scrolls the page
        strip.dispatch_event(name, {"pointerType": "touch"})
    assert f"frame {older} " in seen.text("#strip-facts")
    seen.page.keyboard.press("Escape")
    assert seen.page.get_attribute("#strip", "aria-valuetext") == "no frame chosen"
    tap(20)
    seen.page.locator("#strip-name").tap()
    seen.wait("document.getElementById('strip').getAttribute('aria-valuetext') === 'no frame chosen'")


def test_the_numbers_are_those_of_the_run(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Shares, ages, rates, stages, books and readers."""
    seen = look(serve(synthetic).url)
    seen.wait("/^(19|2[01])\\./.test(document.querySelector('#tiles .tile:nth-child(3) b').textContent)")
    tiles = seen.page.locator("#tiles .tile b").all_inner_texts()
    assert float(tiles[0]) > 50
    assert float(tiles[1].split(" / ")[1]) <= 500
    assert seen.page.locator("#stages tbody th").all_inner_texts()[-2:] == ["synthetic_detect", "track"]
    assert "books" in seen.text("#books")
    assert "sink serve" in seen.text("#sinks")
    assert seen.page.title().endswith("cam0 · framepace")


def test_what_comes_from_outside_is_text(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """A stream's name that is HTML is shown, not obeyed."""
    name = "<img src=x onerror=document.body.remove()>"
    seen = look(serve({**synthetic, "stream": name}).url)
    seen.wait("document.getElementById('stream').textContent !== ''")
    assert seen.text("#stream") == name
    assert seen.page.evaluate("document.images.length") == 0


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("colours", ["dark", "light"])
def test_it_is_readable(serve, look, synthetic: dict[str, Any], tmp_path: Path, size, colours: str) -> None:  # type: ignore[no-untyped-def]
    """Nothing sticks out at the side, every text has contrast enough, and the page is as dark as was asked for.

    The screenshots stay in the folder FRAMEPACE_SCREENSHOTS, if there is one.
    """
    seen = look(serve(synthetic).url, size=size, colours=colours)
    seen.wait(f"({FILLED_COLUMNS})() > 25")
    seen.wait("document.querySelector('#stages tbody tr') !== null")
    assert seen.page.evaluate("document.documentElement.scrollWidth") == size[0]
    texts = seen.page.evaluate(LEAST_CONTRASTS)
    assert len(texts) > 60
    assert [text for text in texts if text["ratio"] < (AA_LARGE if text["isLarge"] else AA)] == []
    ground = seen.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    channels = [int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert all(channel < 40 for channel in channels) if colours == "dark" else all(c > 220 for c in channels)
    folder = Path(os.environ.get("FRAMEPACE_SCREENSHOTS", tmp_path))
    shot = folder / f"page-{size[0]}-{colours}.png"
    seen.page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 20_000


def test_the_reader_chooses_the_colours(serve, look, synthetic: dict[str, Any]) -> None:  # type: ignore[no-untyped-def]
    """Against what the system says; the choice stays."""
    seen = look(serve(synthetic).url, colours="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = seen.page.evaluate(ground)
    seen.page.click("#theme")
    assert seen.page.evaluate(ground) == dark
    seen.page.click("#theme")
    assert seen.page.evaluate(ground) != dark
    seen.page.reload()
    seen.wait("document.getElementById('theme').getAttribute('aria-label') === 'Colours: light'")
    assert seen.page.evaluate(ground) != dark
