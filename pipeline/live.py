"""The live engine of one stream: every captured frame gets one answer by its deadline.

    capture -> [decode] -> gate -> stage -> detector -> stage -> publisher
                |          newest    one thread each              timer
                `-> watching stages: every picture, admitted or not

This module wires the parts; each worker is run on a thread of its own by the Run.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.blame import Blames
from pipeline.clock import Clock, Flag, thread_cpu_ns
from pipeline.errors import LinkClosed, LinkEnded, Outage, Undecodable
from pipeline.estimator import Estimator
from pipeline.frame import Answer, Envelope, FrameInfo, Heartbeat, ProjectTo, Reason
from pipeline.gate import Gate
from pipeline.graph import Plan
from pipeline.intake import Intake, Registered
from pipeline.ledger import Ledger
from pipeline.link import Link, Policy
from pipeline.logs import Complaints
from pipeline.publisher import Publisher
from pipeline.report import Queue
from pipeline.stage import Decoded, Decoder, Stage
from pipeline.statistics import StageStatistics, queue_report
from pipeline.timings import Event, Timings, fanned
from pipeline.watching import Watcher
from pipeline.worker import Worker

log = logging.getLogger("framepace.live")

_PACKETS = 64
"""Packets that a slow decoder may lag behind (about two seconds) before new ones are shed."""
_MAILBOX = "newest picture"


@dataclass(frozen=True, slots=True)
class _Packet:
    ticket: int
    payload: object


class LiveEngine:
    """The parts of a live run and the work of each thread.

    Args:
        plan: the checked graph.
        limit_ns: the deadline after capture, at first.
        credit_limit: frames between admission and the end of detection.
        keep_pictures: whether a sink wants the pictures with the answers.
        heartbeat_ns: how often to say that there is no frame to answer.
        hand_over: gives an answer to all sinks; must not wait.
        hand_beat: gives a heartbeat to all sinks; must not wait.
        timings: takes note of what happens.
        project_to: the moment that answers are true for.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        stream_id: str,
        limit_ns: int,
        credit_limit: int,
        keep_pictures: bool,
        heartbeat_ns: int,
        clock: Clock,
        ledger: Ledger,
        hand_over: Callable[[Answer], int | None],
        hand_beat: Callable[[Heartbeat], None],
        timings: Timings | None = None,
        project_to: ProjectTo = ProjectTo.CAPTURE,
    ) -> None:
        assert plan.detector is not None  # the graph check saw to it
        self._plan = plan
        self._clock = clock
        self._complaints = Complaints(log, clock)
        self._keep_pictures = keep_pictures
        self._detector = plan.detector
        names = [name for name, _ in plan.stages]
        self.blames = Blames(names)
        self._timings = fanned(self.blames, timings)
        place = names.index(plan.detector)
        self.estimator = Estimator()
        self.publisher = Publisher(
            limit_ns=limit_ns,
            clock=clock,
            ledger=ledger,
            hand_over=hand_over,
            heartbeat_ns=heartbeat_ns,
            hand_beat=hand_beat,
            stream_id=stream_id,
            timings=self._timings,
            project_to=project_to,
            blames=self.blames,
        )
        self.intake = Intake(stream_id, limit_ns=limit_ns, register=self._register)
        self.gate = Gate(
            clock=clock,
            estimator=self.estimator,
            before=tuple(names[:place]),
            detector=plan.detector,
            after=tuple(names[place + 1 :]),
            credit_limit=credit_limit,
            margin_ns=lambda: self.publisher.margin_ns,
            refuse=self.publisher.refuse,
            timings=self._timings,
        )
        self._packets: Link[_Packet] = Link(
            "capture -> decode", capacity=_PACKETS, policy=Policy.DROP_NEWEST, clock=clock, on_drop=self._shed
        )
        self._links: list[Link[Envelope]] = [
            Link(f"{before} -> {after}", capacity=credit_limit, policy=Policy.BLOCK, clock=clock)
            for before, after in itertools.pairwise(names)
        ]
        self._watchers = [Watcher(name, stage, clock) for name, stage in plan.watching]
        self.statistics = {name: StageStatistics() for name in (["decode"] if plan.decoder else []) + names}
        self._cold = len(plan.stages)
        self._cold_lock = threading.Lock()
        self.warm = Flag(clock)

    def deliver(self, ticket: int, payload: object) -> None:
        """Take a sample from the capture thread; never waits."""
        if self._plan.decoder is not None:
            self._packets.wait_put(_Packet(ticket, payload))
            return
        width, height = getattr(payload, "size", (0, 0))
        self._offer(Decoded(ticket, payload, (width, height)))

    def source_away(self, outage: Outage) -> None:
        """Take note that the source is lost, until it gives something again."""
        self.publisher.away(outage)

    def source_ended(self) -> None:
        """Take note that nothing more will be captured."""
        if self._plan.decoder is not None:
            self._packets.end()
        else:
            self._pictures_ended()

    def workers(self) -> list[Worker]:
        """Return the work of every thread but capture."""
        workers = [Worker("publish", self.publisher.run)]
        if self._plan.decoder is not None:
            decoder = self._plan.decoder
            workers.append(Worker("decode", functools.partial(self._decode, decoder), (decoder,)))
        for place, (name, stage) in enumerate(self._plan.stages):
            workers.append(Worker(name, functools.partial(self._work, place, name, stage), (stage,)))
        workers += [Worker(f"{watcher.name} watch", watcher.run, (watcher.stage,)) for watcher in self._watchers]
        return workers

    def close(self) -> None:
        """Stop everything at once; what is inside stays open in the ledger."""
        self.gate.close()
        self._packets.close()
        for link in self._all_links():
            link.close()
        self.publisher.stop()

    @property
    def paused(self) -> bool:
        """Whether nothing is admitted, on purpose."""
        return self.gate.paused

    def pause(self) -> None:
        """Admit nothing until resume(): answers are forecasts, and soon blind."""
        self._timings.note(Event.PAUSED, self._clock.now_ns())
        self.gate.pause()
        self.publisher.pause()

    def resume(self) -> None:
        """Admit again."""
        self._timings.note(Event.RESUMED, self._clock.now_ns())
        self.publisher.resume()
        self.gate.resume()

    @property
    def limit_ns(self) -> int:
        """The deadline after capture of a frame that is captured now."""
        limit_ns = self.intake.limit_ns
        assert limit_ns is not None
        return limit_ns

    def change_limit(self, limit_ns: int) -> None:
        """Give frames another deadline that are captured from now on."""
        now_ns = self._clock.now_ns()
        self._timings.note(Event.LIMITED, now_ns, value=limit_ns)
        self.publisher.change_limit(limit_ns)
        self.intake.change_limit(limit_ns, now_ns)

    def queues(self) -> dict[str, Queue]:
        """Return the report's part."""
        queues = {_MAILBOX: Queue(capacity=1, peak=min(1, self.gate.offered), dropped=self.gate.replaced)}
        if self._plan.decoder is not None:
            queues[self._packets.name] = queue_report(self._packets.statistics())
        return queues | {link.name: queue_report(link.statistics()) for link in self._all_links()}

    def depths(self) -> dict[str, int]:
        """Return how many frames wait in each of them now."""
        depths = {_MAILBOX: self.gate.depth}
        if self._plan.decoder is not None:
            depths[self._packets.name] = len(self._packets)
        return depths | {link.name: len(link) for link in self._all_links()}

    def _all_links(self) -> list[Link[Envelope]]:
        return [*self._links, *(watcher.link for watcher in self._watchers)]

    # Capture and decode

    def _register(self, registered: Registered) -> None:
        info = registered.info
        self._timings.note(Event.CAPTURED, self._clock.now_ns(), info.frame_id, value=info.captured_ns)
        self.publisher.register(info, registered.clock)
        # Capture waits for no forecast, and may have a lock of the intake: the publisher's own thread answers these.
        if registered.withdrawn:
            self._shed_frame(info, here=False)
        elif registered.undecodable:
            self._undecodable(info, here=False)

    def _shed(self, packet: _Packet) -> None:
        info = self.intake.withdraw(packet.ticket)
        if info is not None:
            self._shed_frame(info, here=False)

    def _shed_frame(self, info: FrameInfo, *, here: bool) -> None:
        self._timings.note(Event.SHED, self._clock.now_ns(), info.frame_id)
        self.publisher.refuse(info.frame_id, Reason.SHED, here=here)

    def _undecodable(self, info: FrameInfo, *, here: bool = True) -> None:
        self._timings.note(Event.UNDECODABLE, self._clock.now_ns(), info.frame_id)
        self.publisher.undecodable(info.frame_id, here=here)

    def _decode(self, decoder: Decoder) -> None:
        statistics = self.statistics["decode"]
        try:
            while True:
                packet, wait_ns = self._packets.wait_get()
                start_ns, start_cpu_ns = self._clock.now_ns(), thread_cpu_ns()
                self._timings.note(Event.BEGAN, start_ns, text="decode", value=wait_ns)
                failed = False
                try:
                    for decoded in decoder.decode(packet.payload, packet.ticket):
                        self._offer(decoded)
                except Undecodable as error:
                    failed = True
                    text = f"packet without a picture: {error}"
                    self._complaints.warn("decode", text, event="undecodable", level=logging.INFO)
                run_ns = self._clock.now_ns() - start_ns
                self._timings.note(Event.DECODED, start_ns, value=run_ns)
                statistics.add(
                    wait_ns=wait_ns,
                    run_ns=run_ns,
                    cpu_ns=thread_cpu_ns() - start_cpu_ns,
                    failed=failed,
                )
        except LinkEnded:
            for decoded in decoder.flush():
                self._offer(decoded)
            self._pictures_ended()
        except LinkClosed:
            return

    def _offer(self, decoded: Decoded) -> None:
        emerged = self.intake.emerged(decoded.ticket)
        for lost in emerged.lost:
            self._undecodable(lost)
        if emerged.info is None:
            return
        picture = decoded.payload if self._keep_pictures else None
        self.publisher.decoded(emerged.info.frame_id, size=decoded.size, picture=picture)
        envelope = Envelope(emerged.info, decoded.payload)
        self.gate.offer(envelope)
        for watcher in self._watchers:
            watcher.offer(envelope)

    def _pictures_ended(self) -> None:
        for lost in self.intake.rest():
            self._undecodable(lost)
        self._timings.note(Event.ENDED, self._clock.now_ns())
        self.gate.end()
        for watcher in self._watchers:
            watcher.link.end()
        self.publisher.drain()

    # Stages

    def _work(self, place: int, name: str, stage: Stage) -> None:
        """Do one stage's work, on its own thread, until the end or the stop."""
        stage.warm()
        self._warmed()
        try:
            while True:
                envelope, wait_ns = self._take(place)
                result = self._process(name, stage, envelope, wait_ns)
                if result is None:
                    self.gate.release(envelope.info.frame_id)
                elif place == len(self._links):
                    self._timings.note(Event.MEASURED, self._clock.now_ns(), envelope.info.frame_id)
                    self.publisher.measured(envelope.info, result)
                else:
                    self._links[place].wait_put(Envelope(envelope.info, result))
        except LinkEnded:
            if place < len(self._links):
                self._links[place].end()
        except LinkClosed:
            return

    def _warmed(self) -> None:
        with self._cold_lock:
            self._cold -= 1
            if self._cold:
                return
        self._timings.note(Event.WARMED, self._clock.now_ns())
        self.publisher.warmed()
        self.gate.warmed()
        self.warm.set()

    def _take(self, place: int) -> tuple[Envelope, int]:
        if place:
            return self._links[place - 1].wait_get()
        envelope, wait_ns = self.gate.wait_take()
        self.publisher.admitted(envelope.info.frame_id)
        return envelope, wait_ns

    def _process(self, name: str, stage: Stage, envelope: Envelope, wait_ns: int) -> object | None:
        """Run a stage on one frame; None when there is nothing for the next one, and the publisher was told."""
        info = envelope.info
        detecting = name == self._detector
        if detecting:
            self.gate.detector_started()
        start_ns, start_cpu_ns = self._clock.now_ns(), thread_cpu_ns()
        self._timings.note(Event.BEGAN, start_ns, info.frame_id, name, wait_ns)
        refused = None
        result = None
        try:
            result = stage.process(envelope.payload, info)
            refused = Reason.SHED if result is None else None
        except Exception as error:  # a stage may raise anything; the frame is answered, the run goes on
            text = f"stage {name} failed on frame {info.frame_id}: {type(error).__name__}: {error}"
            self._complaints.warn(name, text, event="stage_failed", stage=name, frame=info.frame_id)
            refused = Reason.FAILED
        run_ns = self._clock.now_ns() - start_ns
        self._timings.note(Event.RAN, start_ns, info.frame_id, name, run_ns)
        self.estimator.observe(name, run_ns)
        if detecting:
            self.gate.detector_finished(info.frame_id)  # after the estimator knows, since admission looks at once
        self.statistics[name].add(
            wait_ns=wait_ns,
            run_ns=run_ns,
            cpu_ns=thread_cpu_ns() - start_cpu_ns,
            failed=refused is Reason.FAILED,
        )
        if refused is not None:
            event = Event.FAILED if refused is Reason.FAILED else Event.SKIPPED
            self._timings.note(event, self._clock.now_ns(), info.frame_id)
            self.publisher.refuse(info.frame_id, refused)
        return result
