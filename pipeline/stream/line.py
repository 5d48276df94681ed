"""The line of frames of one stream that wait for their answer, and what is to be done about its head.

Not locked, and it calls nobody: whoever owns it asks `look` what to do next, does that outside every lock, and says
what came of it. What a stage says of a frame is asked for in a step of its own, `Ask`, since that is the stage's code
and may take its time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pipeline.clock import NS_PER_MS
from pipeline.frame import CaptureClock, FrameInfo, Reason
from pipeline.judge import Judge, Question, Verdict
from pipeline.margin import WakeMargin, most_of
from pipeline.stage import Forecaster

_ASKS_KEPT = 64
"""Forecasts whose time is remembered."""
_CHEAP_NS = NS_PER_MS // 2
"""A forecast that takes less is made at the last moment by whoever is there: another wake-up would cost more."""


@dataclass(slots=True)
class Entry:
    """One frame in the line."""

    info: FrameInfo
    clock: CaptureClock
    due_ns: int
    """The earliest deadline of this frame and of those behind it, which cannot be answered before this one."""
    margin_most_ns: int
    """How large the margin before that may be."""
    admitted: bool = False
    reason: Reason | None = None
    """Set when the frame was refused."""
    result: Forecaster | None = None
    """Set when the frame was measured in time."""
    undecodable: bool = False
    """Set when there is no picture of it."""
    size: tuple[int, int] | None = None
    picture: object | None = None
    verdict: Verdict | None = None
    """What was said of it so far: of its result if it has one, else a forecast that is kept ready."""
    asked: bool = False
    """Whether somebody is finding that out now."""

    @property
    def resolved(self) -> bool:
        """Whether nobody need be waited for any more."""
        return self.undecodable or self.reason is not None or self.result is not None


@dataclass(frozen=True, slots=True)
class Give:
    """Hand the answer to a frame over; it has left the line."""

    entry: Entry
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Miss:
    """A frame whose deadline has passed; it has left the line."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Drop:
    """A frame without a picture, which gets no answer; it has left the line."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Ask:
    """Have the question answered outside every lock, and say `told`."""

    entry: Entry
    question: Question
    is_slow: bool
    """Whether this takes so long that the answering thread should do it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at `until_ns`, or when something changes; None: only when something changes."""

    until_ns: int | None


Step = Give | Miss | Drop | Ask | Wait


class Line:
    """The frames of one stream that wait for their answer.

    Args:
        limit_ns: the deadline after capture, at first.
        judge: says what is true of a frame.
    """

    def __init__(self, limit_ns: int, judge: Judge) -> None:
        self.judge = judge
        self.margin = WakeMargin(limit_ns)
        self._entries: deque[Entry] = deque()
        self._by_id: dict[int, Entry] = {}
        self._measuring = False  # set by the first result
        self._asks: deque[int] = deque(maxlen=_ASKS_KEPT)
        self._size: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def margin_ns(self) -> int:
        """How long before its deadline a frame of now is answered at the latest; a result must be there by then.

        Until the first result it is as large as it may be: models, decoders and encoders are being set up, wake-ups
        are later than ever after, and an answer is blind whenever it is given.
        """
        return self.margin.margin_ns if self._measuring else self.margin.most_ns

    @property
    def forecast_ns(self) -> int:
        """How long a forecast takes: the longest of late; 0 where that is so short that it need not be planned for."""
        longest_ns = max(self._asks, default=0)
        return 0 if longest_ns < _CHEAP_NS else longest_ns

    # What is said of frames

    def register(self, info: FrameInfo, clock: CaptureClock) -> None:
        """Put a captured frame at the end of the line."""
        assert info.due_ns is not None  # this is live mode
        most_ns = most_of(info.due_ns - info.captured_ns)
        # Deadlines may go back: capture times are corrected as the stream is got to know, limits are changed.
        for earlier in reversed(self._entries):
            if earlier.due_ns <= info.due_ns:
                break
            earlier.due_ns = info.due_ns
            earlier.margin_most_ns = max(most_ns, earlier.margin_most_ns)
        entry = Entry(info, clock, info.due_ns, most_ns)
        self._entries.append(entry)
        self._by_id[info.frame_id] = entry

    def decoded(self, frame_id: int, *, size: tuple[int, int], picture: object | None) -> None:
        """Say that a frame's picture is there."""
        self._size = size
        entry = self._by_id.get(frame_id)
        if entry is not None:
            entry.size = size
            entry.picture = picture

    def admitted(self, frame_id: int) -> None:
        """Say that a frame is on its way to be measured."""
        entry = self._by_id.get(frame_id)
        if entry is not None:
            entry.admitted = True

    def measured(self, info: FrameInfo, result: Forecaster, *, lasts: bool) -> None:
        """Take what the last stage made of a frame, in time or not.

        Args:
            info: the frame.
            result: what says something of it.
            lasts: whether the result serves forecasts of later frames, too.
        """
        self._measuring = True
        if lasts:
            self.judge.remember(info.frame_id, result)
        entry = self._by_id.get(info.frame_id)
        if entry is not None and not entry.resolved:
            entry.result = result
            entry.verdict = None
            entry.asked = False

    def refuse(self, frame_id: int, reason: Reason) -> None:
        """Say that a frame will not be measured, and why."""
        entry = self._by_id.get(frame_id)
        if entry is not None and not entry.resolved:
            entry.reason = reason
            if entry.verdict is not None:
                entry.verdict = entry.verdict.because(reason)

    def undecodable(self, frame_id: int) -> None:
        """Say that a frame has no picture."""
        entry = self._by_id.get(frame_id)
        if entry is not None and not entry.resolved:
            entry.undecodable = True

    def told(self, ask: Ask, verdict: Verdict, took_ns: int) -> None:
        """Take what was said of a frame; it counts unless the frame got its result, or was answered, meanwhile."""
        entry = ask.entry
        if ask.question.result is None:
            self._asks.append(took_ns)
        if ask.question.result is entry.result:
            entry.asked = False
            entry.verdict = verdict if entry.reason is None else verdict.because(entry.reason)

    def size_of(self, entry: Entry) -> tuple[int, int] | None:
        """Return the size of a frame's picture, or of the newest one."""
        return entry.size or self._size

    # What is to be done

    def latest_ns(self, entry: Entry) -> int:
        """Return when a frame is answered at the latest."""
        most_ns = entry.margin_most_ns
        return entry.due_ns - (self.margin.within(most_ns) if self._measuring else most_ns)

    def alarm_ns(self) -> int | None:
        """Return when something is to be done about the head at the latest; None when the line is empty."""
        if not self._entries:
            return None
        head = self._entries[0]
        if head.resolved or head.verdict is not None or head.asked:
            return self.latest_ns(head)
        return self.latest_ns(head) - min(self.forecast_ns, head.margin_most_ns)

    def look(self, now_ns: int) -> Step:
        """Return what is to be done now."""
        if not self._entries:
            return Wait(None)
        head = self._entries[0]
        assert head.info.due_ns is not None
        if head.undecodable:
            return Drop(self._leave())
        if now_ns > head.info.due_ns:
            return Miss(self._leave())
        is_time = head.resolved or now_ns >= self.latest_ns(head)
        if head.verdict is not None:
            return Give(self._leave(), head.verdict) if is_time else Wait(self.latest_ns(head))
        if head.asked:
            return Wait(head.info.due_ns)
        alarm_ns = self.alarm_ns()
        assert alarm_ns is not None
        if not is_time and now_ns < alarm_ns:
            return Wait(alarm_ns)
        head.asked = True
        question = self.judge.question(head.info, result=head.result, reason=head.reason, admitted=head.admitted)
        return Ask(head, question, is_slow=head.result is None and self.forecast_ns > 0)

    def _leave(self) -> Entry:
        head = self._entries.popleft()
        del self._by_id[head.info.frame_id]
        return head
