"""The deadline after capture, which may be changed while a run goes."""

from __future__ import annotations

_KEPT = 16
"""Changes remembered: frames take a moment from their capture to here."""


class Limits:
    """Which limit a frame has; it is that of the moment at which it was captured.

    Safe to use from several threads, as long as one of them at a time changes it.
    """

    def __init__(self, limit_ns: int) -> None:
        self._since: tuple[tuple[int | None, int], ...] = ((None, limit_ns),)

    @property
    def present_ns(self) -> int:
        """The limit of a frame that is captured now."""
        return self._since[-1][1]

    def change(self, limit_ns: int, now_ns: int) -> None:
        """Give frames another limit that are captured from now on."""
        self._since = (*self._since[-_KEPT + 1 :], (now_ns, limit_ns))

    def of(self, captured_ns: int) -> int:
        """Return the limit of a frame; the oldest that is known, for one that is older than all that is known."""
        for since_ns, limit_ns in reversed(self._since):
            if since_ns is None or since_ns <= captured_ns:
                return limit_ns
        return self._since[0][1]
