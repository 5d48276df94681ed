"""What log lines say besides their text, and what goes wrong on every frame without a line on every frame."""

from __future__ import annotations

import logging
import threading

from pipeline.clock import NS_PER_S, Clock

EVENT, FIELDS = "event", "fields"
"""Attributes of a log record."""
_APART_NS = 10 * NS_PER_S


def about(event: str, **fields: object) -> dict[str, object]:
    """Return the `extra` of a log call: what happened, in one word, and its particulars."""
    return {EVENT: event, FIELDS: fields}


class Complaints:
    """Logs what goes wrong again and again: at once, and then at most every ten seconds, with how often it did.

    Safe to use from several threads.
    """

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._said_ns: dict[str, int] = {}  # by kind, when
        self._unsaid: dict[str, int] = {}  # by kind, how many since

    def warn(self, kind: str, text: str, *, event: str, level: int = logging.WARNING, **fields: object) -> None:
        """Complain, or count a complaint of a kind that was heard a short time ago.

        Args:
            kind: complaints of one kind are counted together.
            text: of this one; the last one's is heard.
            event: see about.
            fields: see about.
        """
        now_ns = self._clock.now_ns()
        with self._lock:
            said_ns = self._said_ns.get(kind)
            unsaid = self._unsaid.get(kind, 0)
            if said_ns is not None and now_ns - said_ns < _APART_NS:
                self._unsaid[kind] = unsaid + 1
                return
            self._said_ns[kind] = now_ns
            self._unsaid[kind] = 0
        if unsaid:
            text = f"{text} (and {unsaid} more since the last line)"
        self._log.log(level, text, extra=about(event, count=unsaid + 1, **fields))
