"""The files of the page."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from stages.sink.serve.assets import INDEX, read_assets
from stages.sink.serve.sink import ServeSink

Serve = Callable[..., ServeSink]
Ask = Callable[..., httpx.Response]


def test_the_page_and_all_that_it_names_is_there(serve: Serve, ask: Ask) -> None:
    """Every file that the page refers to is served with the right type; nothing comes from elsewhere."""
    sink = serve()
    page = ask(sink, "/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert named
    for address in named:
        if address.startswith("data:"):
            continue
        assert "//" not in address
        assert ask(sink, f"/{address.removeprefix('/')}").status_code == 200, address


def test_scripts_import_what_is_there() -> None:
    """Each module that a script imports is one of the files."""
    assets = read_assets()
    scripts = {name: asset.content.decode() for name, asset in assets.items() if name.endswith(".js")}
    assert scripts
    assert INDEX in assets
    for name, text in scripts.items():
        assert assets[name].media_type == "text/javascript; charset=utf-8"
        for other in re.findall(r'^import .*?from "\./([^"]+)"', text, re.MULTILINE | re.DOTALL):
            assert other in assets, f"{name} imports {other}"
