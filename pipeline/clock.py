"""The only source of now: integer nanoseconds, monotonic, real or turned by hand.

Every blocking wait of the engine goes through a Clock and has a bound, so that a test can hold time
still and a stop is noticed in bounded time.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(ABC):
    """Tells the time and waits."""

    @abstractmethod
    def now_ns(self) -> int:
        """Return nanoseconds on a monotonic time line with an arbitrary origin."""

    @abstractmethod
    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        """Wait on a held condition until it is notified or the time is up.

        Args:
            condition: the caller holds its lock.
            timeout_ns: at most this long; zero or less returns at once.

        Returns:
            False when the time ran out. True says no more than that the caller should look again.
        """


class RealClock(Clock):
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait(self, condition: threading.Condition, timeout_ns: int) -> bool:
        if timeout_ns <= 0:
            return False
        return condition.wait(timeout_ns / NS_PER_S)


def thread_cpu_ns() -> int:
    """Return the processor time that the calling thread has used, in nanoseconds."""
    return time.thread_time_ns()


def process_cpu_ns() -> int:
    """Return the processor time that this process has used, all threads together, in nanoseconds."""
    return time.process_time_ns()
