"""Fetches a model over HTTP: resumes what was begun, and keeps only what has the right hash."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import httpx

from pipeline.errors import StageOpenError
from stages.detect.store import FileState, KnownModel, hash_of, whole_file

Progress = Callable[[int], None]
"""Called with the number of bytes that are here by now."""

_ATTEMPTS = 4
"""A connection that breaks is taken up again at once, this often in all, as long as every attempt brings something."""
_CHUNK_BYTES = 256 * 1024
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds. httpx counts them from byte to byte, not for the whole file."""


class _Broken(Exception):
    """The connection ended before the file did; the message says why."""


def pull(model: KnownModel, cache: Path, *, on_progress: Progress = lambda _: None) -> Path:
    """Return the model's file in the cache, fetched if it is not there yet.

    While it is being fetched, it is called `NAME.part`; a later call goes on where that ends. Proxies and certificates
    are taken from the environment as httpx does (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).

    Args:
        model: what to fetch.
        cache: the folder for pulled models; made if need be.
        on_progress: for a display.

    Raises:
        StageOpenError: it cannot be had; one line says why. What has come so far stays, unless it is wrong.
    """
    target = model.path(cache)
    part = target.with_name(target.name + ".part")
    try:
        if model.url is None:
            return whole_file(model, cache)
        if model.state(cache) is FileState.WHOLE:
            return target
        cache.mkdir(parents=True, exist_ok=True)
        if part.is_symlink():
            part.unlink()  # nobody's file is to be written through it
        _complete(model, part, on_progress)
        os.replace(part, target)
    except OSError as error:
        raise StageOpenError(str(cache), f"cannot be written: {error.strerror or error}") from error
    return target


def _complete(model: KnownModel, part: Path, on_progress: Progress) -> None:
    """Fetch what is missing of `part` and check it; a begun file that turns out wrong is fetched once more, whole."""
    begun = _size_of(part)
    if begun > model.size_bytes:
        part.unlink()
        begun = 0
    _fetch(model, part, on_progress)
    digest = hash_of(part)
    if digest != model.sha256 and begun:
        part.unlink()
        _fetch(model, part, on_progress)
        digest = hash_of(part)
    if digest != model.sha256:
        part.unlink()
        why = f"{model.url} gave a file with sha256 {digest}, not {model.sha256}; it was deleted"
        raise StageOpenError(model.name, why)


def _fetch(model: KnownModel, part: Path, on_progress: Progress) -> None:
    """Append to `part` until it is whole."""
    with _client(model) as client:
        for attempt in range(1, _ATTEMPTS + 1):
            before = _size_of(part)
            if before == model.size_bytes:
                return
            try:
                _fetch_rest(client, model, part, on_progress)
            except (_Broken, httpx.TransportError) as error:
                now = _size_of(part)
                if attempt == _ATTEMPTS or now <= before:
                    raise StageOpenError(model.name, _broken_off(model, now, error)) from error


def _client(model: KnownModel) -> httpx.Client:
    try:
        return httpx.Client(follow_redirects=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"})
    except (OSError, ValueError, httpx.InvalidURL) as error:
        why = f"the environment's settings of proxies or certificates (HTTPS_PROXY, SSL_CERT_FILE) are wrong: {error}"
        raise StageOpenError(model.name, why) from error


def _fetch_rest(client: httpx.Client, model: KnownModel, part: Path, on_progress: Progress) -> None:
    assert model.url is not None
    begun = _size_of(part)
    try:
        with client.stream("GET", model.url, headers={"Range": f"bytes={begun}-"} if begun else {}) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # the server's file ends before ours: neither can be the right one
            if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                raise StageOpenError(model.name, f"{model.url} answered {_status(response)}")
            start = _start_of(response)
            if start not in (0, begun):
                raise StageOpenError(model.name, f"{model.url} sent another part of the file than was asked for")
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                here = _write(response, file.write, start, model, on_progress)
            if here > model.size_bytes:
                part.unlink()
                why = f"{model.url} sends more than the {model.size_bytes} bytes of this model; it was deleted"
                raise StageOpenError(model.name, why)
    except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
        raise StageOpenError(model.name, f"{model.url} cannot be fetched: {error}") from error


def _write(
    response: httpx.Response, write: Callable[[bytes], object], start: int, model: KnownModel, on_progress: Progress
) -> int:
    """Write what comes until the file is whole, or longer than it may be; return how long it is now."""
    here = start
    for chunk in response.iter_raw(_CHUNK_BYTES):
        write(chunk)
        here += len(chunk)
        if here > model.size_bytes:
            break
        on_progress(here)
    if here < model.size_bytes:
        raise _Broken("the server ended it early")
    return here


def _start_of(response: httpx.Response) -> int:
    """Return the place in the file at which the answer begins; a server that does not resume sends all of it."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _broken_off(model: KnownModel, here: int, error: Exception) -> str:
    why = " ".join(str(error).split()) or type(error).__name__
    if not here:
        return f"{model.url} cannot be reached: {why}"
    share = f"{here} of {model.size_bytes} bytes are here"
    return f"the connection to {model.url} broke: {why}; {share}, the same command goes on from there"


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
