"""Takes secrets out of what is shown: of addresses, of error texts that quote them, and of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

STARS = "***"
_LEAST_SECRET = 3
"""Characters; hiding what is shorter would leave nothing to read."""
_hidden: set[str] = set()
"""What configurations put into addresses by reference, for the life of the process."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*+://", re.IGNORECASE)
_BEFORE_SCHEME = re.compile(r"[^a-z]*", re.IGNORECASE)
_NOT_OF_SCHEME = re.compile(r"[^a-z0-9+.-]", re.IGNORECASE)
_SECRET_IN_PATH = re.compile(
    r"(?i)((?:pass|passwd|password|passphrase|pwd|psw|pw|token|key|apikey|secret|auth|sig|signature"
    r"|user|username|usr|login|account)=)[^/&;]*"
)
_LOGIN_IN_PATH = re.compile(
    r"(?i)(/(?:admin|administrator|root|user|guest|operator|viewer|service|supervisor)/)([^/?#]+)"
    r"|(/(?:live|get|movie|series|play)/)([^/?#]+/[^/?#]+)(?=/[^/?#]+$)"
)
"""Logins by segments of the path: a usual name and what follows it, or the two that stand before the last."""
_MISTYPED = re.compile(r"(?:rtsps?|https?|rtmps?|rtps?|wss?|ftp|srt|tcp|udp):/?(?=[^/])", re.IGNORECASE)
"""The beginning of an address with too few slashes."""
_WITHIN_FILTER = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*+\\*:\\*/\\*/", re.IGNORECASE)
"""The beginning of an address within a filter graph, whose colons are escaped."""
_BARE_HOST = re.compile(r"[^:@\[\]#\s]*|\[[^\]@]*\](:\d+)?")
_LOGIN_AFTER_HOST = re.compile(r"[^/?#:@]+/[^/?#:@]+:[^/?#]*@")
"""DOMAIN/USER:PASSWORD@, whose first part looks like a host."""
_SECRET_NAME = re.compile(
    r"(?i)passw|passphrase|token|secret|credential|authorization|cookie|apikey|header"
    r"|(?:^|[_. -])(?:pass|pwd|key|keys|auth|sig|signature)(?:$|[_. -])"
)
"""Names of settings that hold a secret; hiding too much is the safe side."""


def hide(*secrets: str) -> None:
    """Have these texts masked in every address from now on, wherever in it they stand."""
    _hidden.update(secret for secret in secrets if len(secret) >= _LEAST_SECRET)


def masked(url: str) -> str:
    """Return the URL with `***` for user, password and query values; any other text comes back unchanged.

    Cameras also take credentials in the path (`/user=admin&password=...`, `/live/admin/...`), people write passwords
    with `@` and `/` unescaped, and mistype; hiding too much is the safe side.
    """
    shown = _masked(url)
    if "://" in url:
        for secret in sorted(_hidden, key=len, reverse=True):
            shown = shown.replace(secret, STARS)
    return shown


def _masked(url: str) -> str:
    before = len(url) - len(url.lstrip())
    scheme = _SCHEME.match(url, before)
    if scheme is None:
        return _masked_oddity(url, before)
    rest = url[scheme.end() :]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]  # a # before an @ is a part of a password
    if "@" in rest and ("://" in rest or not _BARE_HOST.fullmatch(authority) or _LOGIN_AFTER_HOST.match(rest)):
        # The last @ ends the user information, which may hold further ones, and anything else; or that of a URL inside.
        rest = f"{STARS}@" + rest.rpartition("@")[2]
    head, question, _query = rest.partition("?")
    head = _LOGIN_IN_PATH.sub(_starred_login, _SECRET_IN_PATH.sub(rf"\1{STARS}", head))
    return url[: scheme.end()] + head + (f"?{STARS}" if question else "")


def _masked_oddity(text: str, before: int) -> str:
    """Mask what is no URL, but would be one: with too few slashes, or within a filter graph."""
    mistyped = _MISTYPED.match(text, before)
    if mistyped is not None and "@" in text:
        return f"{text[: mistyped.end()]}{STARS}@{text.rpartition('@')[2].partition('?')[0]}"
    inner = _WITHIN_FILTER.search(text, before) if text.startswith("lavfi:", before) else None
    return text if inner is None else text[: inner.end()] + STARS


def _starred_login(found: re.Match[str]) -> str:
    return f"{found[1]}{STARS}" if found[1] else f"{found[3]}{STARS}/{STARS}"


def scrub(text: str, address: str) -> str:
    """Return an error text without the credentials of `address`, in whatever part of it they are quoted."""
    text = text.replace(address, masked(address))
    if not _SCHEME.match(address.lstrip()):
        return text
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, STARS)
    return text


def masked_settings(value: object, name: str = "") -> object:
    """Return plain data without its secrets: those in URLs, and all that stands under a telling name.

    Args:
        value: mappings, lists, texts, numbers.
        name: the key that it stands under.
    """
    if _SECRET_NAME.search(name):
        return _starred(value)
    if isinstance(value, Mapping):
        return {_masked_key(key): masked_settings(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_settings(item) for item in value]
    if not isinstance(value, str):
        return value
    if (start := _start_of_url(value)) is not None and not value.startswith("lavfi:"):
        return value[:start] + masked(value[start:])
    return masked(value)


def _masked_key(key: object) -> object:
    """Mask an address that stands where a name should: a colon without a space behind it makes one of it."""
    return masked_settings(key) if isinstance(key, str) else key


def _start_of_url(text: str) -> int | None:
    """Return where the first URL in a text begins; takes time in proportion to the text."""
    start = 0
    while (end := text.find("://", start)) >= 0:
        start = max((found.end() for found in _NOT_OF_SCHEME.finditer(text, start, end)), default=start)
        before = _BEFORE_SCHEME.match(text, start, end)
        if before is not None and before.end() < end:
            return before.end()
        start = end + 3
    return None


def _starred(value: object) -> object:
    """Return stars in place of every text and number, so that it can still be seen what is set at all."""
    if isinstance(value, Mapping):
        return {key: _starred(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_starred(item) for item in value]
    return value if value is None or isinstance(value, bool) else STARS


def _secrets(url: str) -> set[str]:
    """Return the strings of a URL that must not be shown, raw and percent-decoded."""
    rest = url.partition("://")[2]
    query = rest.partition("?")[2]
    found = {query}
    # The user information ends with the last @ before the path, or, where a password holds a /, with the last of all.
    for user_info in (rest.rpartition("@")[0], re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[0]):
        found |= {user_info, user_info.partition(":")[2]}
    found.update(pair.partition("=")[2] for pair in query.split("&"))
    found.update(match[0].partition("=")[2] for match in _SECRET_IN_PATH.finditer(rest))
    for login in _LOGIN_IN_PATH.finditer(rest.partition("?")[0]):
        found.update((login[2] or login[4]).split("/"))
    found |= {unquote(secret) for secret in found}
    found |= {secret for secret in _hidden if secret in url}
    return {secret for secret in found if len(secret) >= _LEAST_SECRET}
