"""The files of the page, read once: what a client asks for is looked up in a table and never on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "json": "application/json",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str


def read_assets() -> dict[str, Asset]:
    """Return the files of the page by name."""
    return _read(files("stages.sink.serve") / "page", "")


def _read(folder: Traversable, prefix: str) -> dict[str, Asset]:
    assets: dict[str, Asset] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            assets |= _read(entry, f"{prefix}{entry.name}/")
        elif (media_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            assets[prefix + entry.name] = Asset(entry.read_bytes(), media_type)
    return assets
