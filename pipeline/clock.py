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


class Flag:
    """Something that happens once, and that threads wait for through a clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Say that it has happened; idempotent."""
        with self._condition:
            self._is_set = True
            self._condition.notify_all()

    def wait(self, timeout_ns: int) -> bool:
        """Wait until it has happened or the time is up; return whether it has."""
        end_ns = self._clock.now_ns() + timeout_ns
        with self._condition:
            while not self._is_set and (rest_ns := end_ns - self._clock.now_ns()) > 0:
                self._clock.wait(self._condition, rest_ns)
            return self._is_set


def unix_ns() -> int:
    """Return the system's wall clock, ns since 1970; for comparing with other machines, never for waiting."""
    return time.time_ns()


def thread_cpu_ns() -> int:
    """Return the processor time that the calling thread has used, in nanoseconds."""
    return time.thread_time_ns()


def process_cpu_ns() -> int:
    """Return the processor time that this process has used, all threads together, in nanoseconds."""
    return time.process_time_ns()
