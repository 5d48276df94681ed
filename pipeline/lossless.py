"""The lossless engine of one stream: every frame, in order, as fast as the machine can.

    capture -> decode -> [stateless stages, several workers] -> [stages with state] -> publish

Neighbouring stateless stages run one after the other on the same worker; what the workers finish is put back
into order before a stage with state sees it, so the outcome does not depend on their timing.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.clock import Clock, thread_cpu_ns
from pipeline.errors import LinkClosed, LinkEnded, Outage, StageFailed, Undecodable
from pipeline.frame import Answer, CaptureClock, Envelope, Fate, FrameInfo, Reason, Status
from pipeline.graph import Plan
from pipeline.intake import Intake, Registered
from pipeline.ledger import Ledger
from pipeline.link import Link, Policy, held_bytes
from pipeline.logs import Complaints
from pipeline.report import Queue
from pipeline.sequencer import Sequencer
from pipeline.stage import Decoded, Decoder, Forecaster, Stage
from pipeline.statistics import StageStatistics, queue_report
from pipeline.timings import Event, Timings
from pipeline.valve import Valve
from pipeline.worker import Worker

log = logging.getLogger("framepace.lossless")

_CAPACITY = 8
"""Frames per link: enough to even out the stages, few enough that pictures do not pile up."""
_PACKETS = 64


@dataclass(frozen=True, slots=True)
class _Item:
    """One frame between two threads; refused frames travel along so that the order is kept."""

    envelope: Envelope
    size: tuple[int, int]
    picture: object | None
    refused: Reason | None = None


def _weight(item: _Item) -> int:
    payload = item.envelope.payload
    return held_bytes(payload) + (held_bytes(item.picture) if item.picture is not payload else 0)


class _Group:
    """Neighbouring stages that share their threads."""

    def __init__(self, stages: list[tuple[str, Stage]], workers: int) -> None:
        self.stages = stages
        self.workers = workers
        self.lock = threading.Lock()  # makes taking an item and its number one step
        self.taken = 0
        self.running = workers


class LosslessEngine:
    """The parts of a lossless run and the work of each thread.

    Args:
        plan: the checked graph.
        workers: threads for stateless stages.
        keep_pictures: whether a sink wants the pictures with the answers.
        hand_over: gives an answer to all sinks; may wait.
        timings: takes note of what happens.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        stream_id: str,
        workers: int,
        keep_pictures: bool,
        clock: Clock,
        ledger: Ledger,
        hand_over: Callable[[Answer], int | None],
        timings: Timings | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._timings = timings or Timings()
        self._complaints = Complaints(log, clock)
        self._keep_pictures = keep_pictures
        self._ledger = ledger
        self._hand_over = hand_over
        self._valve = Valve(clock)
        self._packets: Link[tuple[int, object]] = Link(
            "capture -> decode", capacity=_PACKETS, policy=Policy.BLOCK, clock=clock
        )
        self._groups = [
            _Group(list(stages), workers if stateless else 1)
            for stateless, stages in itertools.groupby(plan.stages, key=lambda named: named[1].stateless)
        ]
        self._links = [self._link(group.stages[0][0]) for group in self._groups]
        self._answers = self._link("publish")
        self._sequencers = [
            Sequencer(link, clock=clock, window=4 * workers) for link in [*self._links[1:], self._answers]
        ]
        self.intake = Intake(stream_id, limit_ns=None, register=self._register)
        names = [name for name, _ in plan.stages]
        self.statistics = {name: StageStatistics() for name in (["decode"] if plan.decoder else []) + names}
        self.first_failure: StageFailed | None = None
        """Of the earliest frame, whichever of several workers met one first."""
        self._failure_lock = threading.Lock()  # guards first_failure
        self._last: Forecaster | None = None

    def deliver(self, ticket: int, payload: object) -> None:
        """Take a sample from the capture thread; waits while the decoder is behind, and while paused."""
        self._valve.wait_pass()
        if self._plan.decoder is not None:
            self._packets.wait_put((ticket, payload))
            return
        width, height = getattr(payload, "size", (0, 0))
        self._emit(Decoded(ticket, payload, (width, height)))

    def source_away(self, outage: Outage) -> None:
        """Take note that the source is lost; nobody waits for answers by the clock here."""

    def source_ended(self) -> None:
        """Take note that nothing more will be captured."""
        self.intake.flush()
        if self._plan.decoder is not None:
            self._packets.end()
        else:
            self._first_link().end()

    def workers(self) -> list[Worker]:
        """Return the work of every thread but capture."""
        workers = [Worker("publish", self._publish)]
        if self._plan.decoder is not None:
            decoder = self._plan.decoder
            workers.append(Worker("decode", functools.partial(self._decode, decoder), (decoder,)))
        for place, group in enumerate(self._groups):
            name = "+".join(name for name, _ in group.stages)
            parts = tuple(stage for _, stage in group.stages)
            for number in range(group.workers):
                suffix = f" {number}" if group.workers > 1 else ""
                workers.append(Worker(name + suffix, functools.partial(self._work, place, group), parts))
        return workers

    def close(self) -> None:
        """Stop everything at once; what is inside stays open in the ledger."""
        self._valve.close()
        self._packets.close()
        for link in [*self._links, self._answers]:
            link.close()
        for sequencer in self._sequencers:
            sequencer.close()

    @property
    def paused(self) -> bool:
        """Whether capture waits, on purpose."""
        return self._valve.is_shut

    def pause(self) -> None:
        """Make capture wait until resume(); what is inside is worked off, and nothing is lost."""
        self._valve.shut()

    def resume(self) -> None:
        """Let capture go on."""
        self._valve.open()

    def queues(self) -> dict[str, Queue]:
        """Return the report's part."""
        queues = {}
        if self._plan.decoder is not None:
            queues[self._packets.name] = queue_report(self._packets.statistics())
        return queues | {link.name: queue_report(link.statistics()) for link in [*self._links, self._answers]}

    def depths(self) -> dict[str, int]:
        """Return how many frames wait in each of them now."""
        packets = {} if self._plan.decoder is None else {self._packets.name: len(self._packets)}
        return packets | {link.name: len(link) for link in [*self._links, self._answers]}

    # Capture and decode

    def _link(self, to: str) -> Link[_Item]:
        return Link(f"-> {to}", capacity=_CAPACITY, policy=Policy.BLOCK, clock=self._clock, weigh=_weight)

    def _first_link(self) -> Link[_Item]:
        return self._links[0] if self._links else self._answers

    def _register(self, registered: Registered) -> None:
        info = registered.info
        self._timings.note(Event.CAPTURED, self._clock.now_ns(), info.frame_id, value=info.captured_ns)
        self._ledger.captured(info.frame_id)
        if registered.undecodable:
            self._undecodable(info)

    def _undecodable(self, info: FrameInfo) -> None:
        self._timings.note(Event.UNDECODABLE, self._clock.now_ns(), info.frame_id)
        self._ledger.settle(info.frame_id, Fate.UNDECODABLE)

    def _decode(self, decoder: Decoder) -> None:
        statistics = self.statistics["decode"]
        try:
            while True:
                (ticket, payload), wait_ns = self._packets.wait_get()
                start_ns, start_cpu_ns = self._clock.now_ns(), thread_cpu_ns()
                self._timings.note(Event.BEGAN, start_ns, text="decode", value=wait_ns)
                pictures: list[Decoded] = []
                failed = False
                try:
                    pictures += decoder.decode(payload, ticket)
                except Undecodable as error:
                    failed = True
                    self._complaints.warn("decode", f"packet without a picture: {error}", event="undecodable")
                run_ns, cpu_ns = self._clock.now_ns() - start_ns, thread_cpu_ns() - start_cpu_ns
                statistics.add(wait_ns=wait_ns, run_ns=run_ns, cpu_ns=cpu_ns, failed=failed)
                envelopes = [item for decoded in pictures if (item := self._item(decoded)) is not None]
                self._timings.note(Event.DECODED, start_ns, value=run_ns)
                for item in envelopes:
                    self._first_link().wait_put(item)
        except LinkEnded:
            self._finish_decoding(decoder)
        except LinkClosed:
            return

    def _finish_decoding(self, decoder: Decoder) -> None:
        try:
            for decoded in decoder.flush():
                self._emit(decoded)
            for lost in self.intake.rest():
                self._undecodable(lost)
            self._first_link().end()
        except LinkClosed:
            return

    def _emit(self, decoded: Decoded) -> None:
        item = self._item(decoded)
        if item is not None:
            self._first_link().wait_put(item)

    def _item(self, decoded: Decoded) -> _Item | None:
        """Return a picture with its frame; None if its frame is not known (any more)."""
        emerged = self.intake.emerged(decoded.ticket)
        for lost in emerged.lost:
            self._undecodable(lost)
        if emerged.info is None:
            return None
        self._timings.note(Event.OFFERED, self._clock.now_ns(), emerged.info.frame_id)
        picture = decoded.payload if self._keep_pictures else None
        return _Item(Envelope(emerged.info, decoded.payload), decoded.size, picture)

    # Stages

    def _work(self, place: int, group: _Group) -> None:
        link, sequencer = self._links[place], self._sequencers[place]
        try:
            while True:
                with group.lock:
                    item, wait_ns = link.wait_get()
                    number = group.taken
                    group.taken += 1
                for name, stage in group.stages:
                    item = self._process(name, stage, item, wait_ns)
                    wait_ns = 0
                sequencer.wait_put(number, item)
        except LinkEnded:
            with group.lock:
                group.running -= 1
                last = group.running == 0
            if last:
                following = self._links[place + 1] if place + 1 < len(self._links) else self._answers
                following.end()
        except LinkClosed:
            return

    def _process(self, name: str, stage: Stage, item: _Item, wait_ns: int) -> _Item:
        """Run a stage on one frame; a refused frame passes untouched."""
        if item.refused is not None:
            return item
        info = item.envelope.info
        start_ns, start_cpu_ns = self._clock.now_ns(), thread_cpu_ns()
        self._timings.note(Event.BEGAN, start_ns, info.frame_id, name, wait_ns)
        result, refused = None, None
        try:
            result = stage.process(item.envelope.payload, info)
            refused = Reason.SHED if result is None else None
        except Exception as error:  # a stage may raise anything; the frame is answered, the run goes on
            self._note_failure(name, info.frame_id, error)
            refused = Reason.FAILED
        run_ns = self._clock.now_ns() - start_ns
        self._timings.note(Event.RAN, start_ns, info.frame_id, name, run_ns)
        self.statistics[name].add(
            wait_ns=wait_ns,
            run_ns=run_ns,
            cpu_ns=thread_cpu_ns() - start_cpu_ns,
            failed=refused is Reason.FAILED,
        )
        return _Item(Envelope(info, result), item.size, item.picture, refused)

    def _note_failure(self, name: str, frame_id: int, error: Exception) -> None:
        text = f"stage {name} failed on frame {frame_id}: {type(error).__name__}: {error}"
        self._complaints.warn(name, text, event="stage_failed", stage=name, frame=frame_id)
        with self._failure_lock:
            if self.first_failure is None or frame_id < self.first_failure.frame_id:
                self.first_failure = StageFailed(name, frame_id, error)

    # Publish

    def _publish(self) -> None:
        try:
            while True:
                item, _ = self._answers.wait_get()
                self._answer(item)
        except (LinkEnded, LinkClosed):
            return

    def _answer(self, item: _Item) -> None:
        info = item.envelope.info
        status, reason, payload = self._judge(info, item)
        start_ns = self._clock.now_ns()
        self._hand_over(
            Answer(
                info=info,
                status=status,
                reason=reason,
                payload=payload,
                clock=CaptureClock.FILE,
                published_ns=None,
                health=None,
                size=item.size,
                picture=item.picture,
            )
        )
        self._ledger.settle(info.frame_id, Fate(status), reason)
        text = status if reason is None else f"{status}:{reason}"
        self._timings.note(Event.ANSWERED, start_ns, info.frame_id, text, self._clock.now_ns() - start_ns)

    def _judge(self, info: FrameInfo, item: _Item) -> tuple[Status, Reason | None, object | None]:
        """Say what is known of a frame."""
        result, reason = item.envelope.payload, item.refused
        if reason is None:
            if not isinstance(result, Forecaster):
                return Status.FRESH, None, result
            payload = self._forecast(result, info)
            if payload is not None:
                self._last = result
                return Status.FRESH, None, payload
            reason = Reason.FAILED  # a result that has nothing to say of its own frame
        payload = None if self._last is None else self._forecast(self._last, info)
        return (Status.BLIND if payload is None else Status.FORECAST), reason, payload

    def _forecast(self, snapshot: Forecaster, info: FrameInfo) -> object | None:
        """Return what a snapshot says of a frame. It is code of a stage, which may raise: that is nothing said."""
        try:
            return snapshot.forecast(info.captured_ns)
        except Exception as error:
            self._note_failure(self._plan.stages[-1][0], info.frame_id, error)
            return None
