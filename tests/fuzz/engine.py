"""Runs a target on inputs made from its seeds, and tells what breaks its law or takes too much time or memory."""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.targets import PROJECT, FuzzTarget

LIMIT_S = 5.0
"""Processor time of one run. Inputs of MAX_BYTES take milliseconds; on a slow machine, tenths of a second."""
LIMIT_BYTES = 256 << 20
"""By which one run may raise the most memory that the process ever had."""
MAX_BYTES = 64 << 10
"""Of an input."""
_MAX_CORPUS = 500
_LOOKED_AT = 6
"""One run of so many is traced: slow, but inputs that reach new lines become seeds."""
_CODE = (str(PROJECT / "pipeline"), str(PROJECT / "stages"))
_NUMBERS = (b"0", b"1", b"-1", b"255", b"256", b"65535", b"65536", b"2147483648", b"18446744073709551616", b"1e999")
_BYTES = (0, 1, 0x1F, 0x20, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)


class TooSlow(BaseException):
    """A run took more processor time than LIMIT_S. Nothing that is tested may catch it."""


class TooLarge(Exception):
    """A run took more memory than LIMIT_BYTES."""


@dataclass(frozen=True)
class Failure:
    """An input that breaks the law."""

    target: str
    data: bytes
    error: BaseException

    @property
    def report(self) -> str:
        """The traceback."""
        return "".join(traceback.format_exception(self.error))

    def save(self, folder: Path) -> Path:
        """Write the input to a file that is named by its content; return where."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.target}-{hashlib.sha256(self.data).hexdigest()[:12]}"
        path.write_bytes(self.data)
        return path


class Mutator:
    """Makes inputs from seeds: bits, bytes, lines, tokens and lengths changed, parts of other seeds spliced in.

    Args:
        target: whose seeds and words are used.
        chance: what decides.
    """

    def __init__(self, target: FuzzTarget, chance: random.Random) -> None:
        self.corpus = list(target.seeds())
        self._words = target.words or (b"\0",)
        self._chance = chance
        self._changes: list[Callable[[bytes], bytes]] = [
            *(self._flip, self._set, self._remove, self._repeat, self._splice, self._insert_word, self._replace_word),
            *(self._number, self._length, self._lines, self._cut, self._swap, self._noise),
        ]

    def make(self) -> bytes:
        """Return the next input."""
        data = self._chance.choice(self.corpus)
        for _ in range(self._chance.choice((1, 1, 2, 3, 5, 9))):
            data = self._chance.choice(self._changes)(data)[:MAX_BYTES]
        return data

    def keep(self, data: bytes) -> None:
        """Take an input that is worth more changes."""
        self.corpus.append(data)
        if len(self.corpus) > _MAX_CORPUS:
            self.corpus.pop(self._chance.randrange(len(self.corpus)))

    def _place(self, data: bytes) -> int:
        return self._chance.randint(0, len(data))

    def _span(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._chance.choice((1, 2, 4, 16, 64, 400, 2000)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\0"
        changed = bytearray(data)
        changed[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        return bytes(changed)

    def _set(self, data: bytes) -> bytes:
        start = self._place(data)
        return data[:start] + bytes([self._chance.choice(_BYTES)]) + data[start + 1 :]

    def _remove(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + data[start:end] * self._chance.choice((2, 3, 20, 300)) + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._chance.choice(self.corpus)
        start, end = self._span(other)
        into, until = self._span(data)
        return data[:into] + other[start:end] + data[self._chance.choice((into, until)) :]

    def _insert_word(self, data: bytes) -> bytes:
        start = self._place(data)
        return data[:start] + self._chance.choice(self._words) * self._chance.choice((1, 1, 1, 2, 500)) + data[start:]

    def _replace_word(self, data: bytes) -> bytes:
        """Put a word in place of what stands between two signs."""
        start = self._place(data)
        end = start
        while end < len(data) and data[end : end + 1].isalnum():
            end += 1
        return data[:start] + self._chance.choice(self._words) + data[end:]

    def _number(self, data: bytes) -> bytes:
        """Put another number in place of one that is written in digits."""
        digits = [place for place in range(len(data)) if data[place : place + 1].isdigit()][:2000]
        if not digits:
            return data
        start = end = self._chance.choice(digits)
        while end < len(data) and data[end : end + 1].isdigit():
            end += 1
        return data[:start] + self._chance.choice(_NUMBERS) + data[end:]

    def _length(self, data: bytes) -> bytes:
        """Change a binary number of 8, 16 or 32 bits by a little, or to a border."""
        size = self._chance.choice((1, 2, 4))
        start = self._place(data)
        value = int.from_bytes(data[start : start + size]) + self._chance.choice((-1, 1, 4, 1 << 15, 1 << 7, -16))
        return data[:start] + (value % (1 << 8 * size)).to_bytes(size) + data[start + size :]

    def _lines(self, data: bytes) -> bytes:
        """Remove, repeat or move a line, or take one of another seed."""
        lines = data.splitlines(keepends=True)
        if not lines:
            return data
        place = self._chance.randrange(len(lines))
        what = self._chance.randrange(4)
        if what == 0:
            del lines[place]
        elif what == 1:
            lines.insert(self._chance.randint(0, len(lines)), lines[place])
        elif what == 2:
            lines.insert(self._chance.randint(0, len(lines) - 1), lines.pop(place))
        else:
            others = self._chance.choice(self.corpus).splitlines(keepends=True)
            lines.insert(place, self._chance.choice(others or [b"\n"]))
        return b"".join(lines)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _swap(self, data: bytes) -> bytes:
        start, middle, end = sorted(self._place(data) for _ in range(3))
        return data[:start] + data[middle:end] + data[start:middle] + data[end:]

    def _noise(self, data: bytes) -> bytes:
        start = self._place(data)
        return data[:start] + self._chance.randbytes(self._chance.choice((1, 3, 8, 40))) + data[start:]


def check(target: FuzzTarget, data: bytes) -> Failure | None:
    """Run a target once, within bounds."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with _limited():
            target.run(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever comes out breaks the law
        return Failure(target.name, data, error)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if grown > LIMIT_BYTES:
        return Failure(target.name, data, TooLarge(f"took {grown >> 20} MiB"))
    return None


def fuzz(
    target: FuzzTarget, *, chance: random.Random, runs: int | None, seconds: float | None
) -> tuple[int, Failure | None]:
    """Run a target on its seeds, and on what becomes of them; return how often, and the first failure.

    Args:
        target: what to run.
        chance: what decides; the same one gives the same inputs.
        runs: how often at most.
        seconds: how long at most; inputs that reach new code become seeds then, which takes time.
    """
    mutator = Mutator(target, chance)
    reached: set[tuple[CodeType, int]] = set()
    end = None if seconds is None else time.monotonic() + seconds
    done = 0
    for seed in list(mutator.corpus):
        with _traced(reached) if end is not None else _untraced():
            failure = check(target, seed)
        done += 1
        if failure is not None:
            return done, failure
    while (runs is None or done < runs) and (end is None or time.monotonic() < end):
        data = mutator.make()
        known = len(reached)
        with _traced(reached) if end is not None and done % _LOOKED_AT == 0 else _untraced():
            failure = check(target, data)
        done += 1
        if failure is not None:
            return done, smaller(target, failure)
        if len(reached) > known:
            mutator.keep(data)
    return done, None


def smaller(target: FuzzTarget, failure: Failure, *, seconds: float = 10.0) -> Failure:
    """Return a shorter input that fails in the same way, as far as one is found in time."""
    if isinstance(failure.error, (TooSlow, TooLarge)):
        return failure
    end = time.monotonic() + seconds
    size = len(failure.data) // 2
    while size and time.monotonic() < end:
        start = 0
        while start < len(failure.data) and time.monotonic() < end:
            tried = check(target, failure.data[:start] + failure.data[start + size :])
            if tried is not None and type(tried.error) is type(failure.error):
                failure = tried
            else:
                start += size
        size //= 2
    return failure


@contextmanager
def _limited() -> Iterator[None]:
    """Raise TooSlow after LIMIT_S of processor time; the timer of the wall clock stays pytest's."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"took more than {LIMIT_S} s")

    old = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


@contextmanager
def _untraced() -> Iterator[None]:
    yield


@contextmanager
def _traced(reached: set[tuple[CodeType, int]]) -> Iterator[None]:
    """Note which lines of ours are reached."""

    def of_line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code, frame.f_lineno))
        return of_line

    def of_call(frame: FrameType, event: str, argument: Any) -> Any:
        return of_line if frame.f_code.co_filename.startswith(_CODE) else None

    sys.settrace(of_call)
    try:
        yield
    finally:
        sys.settrace(None)
