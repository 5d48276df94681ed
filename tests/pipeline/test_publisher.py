"""The answers: in order, in time."""

from __future__ import annotations

import logging
import threading

import pytest

from pipeline.blame import Blames
from pipeline.clock import NS_PER_MS
from pipeline.errors import Outage
from pipeline.frame import Answer, CaptureClock, Fate, FrameInfo, Health, Heartbeat, ProjectTo, Reason, Status
from pipeline.ledger import Ledger
from pipeline.publisher import Publisher
from pipeline.testing import ManualClock, Snapshot, frame_info
from pipeline.timings import Event, Timings

LIMIT_NS = 100 * NS_PER_MS
PERIOD_NS = 33 * NS_PER_MS
HEARTBEAT_NS = 500 * NS_PER_MS
GUARD_S = 30.0
"""A thread that is not over by then is a test gone wrong."""


class Bench:
    """A publisher, and what it published."""

    def __init__(self, *, project_to: ProjectTo = ProjectTo.CAPTURE, blames: Blames | None = None) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger()
        self.answers: list[Answer] = []
        self.beats: list[Heartbeat] = []
        self.publisher = Publisher(
            limit_ns=LIMIT_NS,
            clock=self.clock,
            ledger=self.ledger,
            hand_over=self.take,
            heartbeat_ns=HEARTBEAT_NS,
            hand_beat=self.beats.append,
            project_to=project_to,
            blames=blames,
        )
        self.publisher.warmed()

    def take(self, answer: Answer) -> int:
        """As the sinks do."""
        self.answers.append(answer)
        return self.clock.now_ns()

    def capture(self, frame_id: int) -> FrameInfo:
        """Turn the clock to the frame's capture time, and register it."""
        info = frame_info(frame_id, captured_ns=frame_id * PERIOD_NS, limit_ns=LIMIT_NS)
        self.turn_to(info.captured_ns)
        self.publisher.register(info, CaptureClock.ARRIVAL)
        return info

    def turn_to(self, at_ns: int) -> None:
        self.clock.advance(max(0, at_ns - self.clock.now_ns()))

    def measured(self, info: FrameInfo) -> None:
        self.publisher.measured(info, Snapshot(info.captured_ns, f"seen in {info.frame_id}"))

    @property
    def said(self) -> list[tuple[int, Status, Reason | None]]:
        return [(answer.info.frame_id, answer.status, answer.reason) for answer in self.answers]


def test_a_measured_head_is_published_at_once() -> None:
    """Nobody waits for a timer."""
    bench = Bench()
    info = bench.capture(0)
    bench.clock.advance(20 * NS_PER_MS)
    bench.measured(info)
    assert bench.said == [(0, Status.FRESH, None)]
    assert bench.answers[0].published_ns == 20 * NS_PER_MS
    assert bench.answers[0].payload == ("seen in 0", 0)


def test_order_is_kept() -> None:
    """A frame that is ready waits for the one before it, and goes out with it."""
    bench = Bench()
    first, second = bench.capture(0), bench.capture(1)
    bench.measured(second)
    assert bench.said == []
    bench.measured(first)
    assert bench.said == [(0, Status.FRESH, None), (1, Status.FRESH, None)]


def test_a_frame_that_is_not_measured_is_answered_before_its_deadline() -> None:
    """At the deadline less the margin, with a forecast from what was measured before."""
    bench = Bench()
    bench.measured(bench.capture(0))
    info = bench.capture(1)
    assert info.due_ns is not None
    wake_ns = bench.publisher.publish_due()
    assert wake_ns == info.due_ns - bench.publisher.margin_ns
    bench.turn_to(wake_ns - 1)
    assert bench.publisher.publish_due() == wake_ns
    bench.turn_to(wake_ns)
    assert bench.publisher.publish_due() is None
    assert bench.said[1:] == [(1, Status.FORECAST, Reason.LATE)]
    assert bench.answers[1].payload == ("seen in 0", PERIOD_NS)


def test_a_later_frame_with_an_earlier_deadline_hurries_those_before_it() -> None:
    """Capture times can go back when a camera's clock is corrected; order and both deadlines are kept."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.capture(1)
    bench.turn_to(PERIOD_NS + 20 * NS_PER_MS)
    early = frame_info(2, captured_ns=PERIOD_NS - 10 * NS_PER_MS, limit_ns=LIMIT_NS)
    bench.publisher.register(early, CaptureClock.PTS)
    assert early.due_ns is not None
    wake_ns = bench.publisher.publish_due()
    assert wake_ns == early.due_ns - bench.publisher.margin_ns
    bench.turn_to(wake_ns)
    assert bench.publisher.publish_due() is None
    assert [frame_id for frame_id, _, _ in bench.said] == [0, 1, 2]


def test_a_refused_frame_is_answered_at_once() -> None:
    """There is nothing to wait for; the first reason stands."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.capture(1)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    bench.publisher.refuse(1, Reason.FAILED)
    assert bench.said[1:] == [(1, Status.FORECAST, Reason.SUPERSEDED)]


def test_the_first_word_on_a_waiting_frame_stands() -> None:
    """What is said later of a frame that waits for the one before it changes nothing."""
    bench = Bench()
    bench.capture(0)
    second = bench.capture(1)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    bench.publisher.refuse(1, Reason.FAILED)
    bench.measured(second)
    bench.publisher.undecodable(1)
    bench.publisher.refuse(0, Reason.SHED)
    assert bench.said == [(0, Status.BLIND, Reason.SHED), (1, Status.BLIND, Reason.SUPERSEDED)]


def test_blind_is_not_an_empty_scene() -> None:
    """Before anything was measured, and beyond the horizon, there is no payload at all."""
    bench = Bench()
    bench.capture(0)
    bench.publisher.refuse(0, Reason.SUPERSEDED)
    bench.measured(bench.capture(1))
    much_later = frame_info(2, captured_ns=PERIOD_NS + 501 * NS_PER_MS, limit_ns=LIMIT_NS)
    bench.turn_to(much_later.captured_ns)
    bench.publisher.register(much_later, CaptureClock.ARRIVAL)
    bench.publisher.refuse(2, Reason.SUPERSEDED)
    assert [bench.said[0], bench.said[2]] == [(n, Status.BLIND, Reason.SUPERSEDED) for n in (0, 2)]
    assert bench.answers[0].payload is bench.answers[2].payload is None


def test_a_late_result_serves_later_forecasts() -> None:
    """The frame itself was answered without it, and is not answered again."""
    bench = Bench()
    late = bench.capture(0)
    bench.turn_to(LIMIT_NS - bench.publisher.margin_ns)
    bench.publisher.publish_due()
    assert bench.said == [(0, Status.BLIND, Reason.LATE)]
    bench.measured(late)
    assert len(bench.answers) == 1
    info = frame_info(1, captured_ns=PERIOD_NS, limit_ns=LIMIT_NS)
    bench.publisher.register(info, CaptureClock.ARRIVAL)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    assert bench.answers[1].payload == ("seen in 0", PERIOD_NS)


def test_a_measurement_of_the_future_is_not_used() -> None:
    """A forecast looks ahead from an earlier frame, never back from a later one."""
    bench = Bench()
    bench.measured(bench.capture(0))
    first, second = bench.capture(1), bench.capture(2)
    bench.measured(second)
    bench.publisher.refuse(first.frame_id, Reason.FAILED)
    assert bench.answers[1].payload == ("seen in 0", PERIOD_NS)
    assert bench.answers[2].status is Status.FRESH


def test_a_later_frame_is_not_used_even_if_it_has_the_same_capture_time() -> None:
    """A burst has equal times, and a corrected camera clock goes back: the number of the frame decides."""
    bench = Bench()
    infos = [frame_info(number, captured_ns=0, limit_ns=LIMIT_NS) for number in range(2)]
    for info in infos:
        bench.publisher.register(info, CaptureClock.ARRIVAL)
    bench.measured(infos[1])
    bench.publisher.refuse(0, Reason.FAILED)
    assert bench.said == [(0, Status.BLIND, Reason.FAILED), (1, Status.FRESH, None)]


class Mute:
    """A result that says nothing, or fails to."""

    def __init__(self, *, raises: bool) -> None:
        self.measured_ns = PERIOD_NS
        self._raises = raises

    def forecast(self, at_ns: int) -> object | None:
        if self._raises:
            raise ValueError(f"asked to fail at {at_ns}")
        return None


@pytest.mark.parametrize("mute", [Mute(raises=False), Mute(raises=True)])
def test_a_result_without_anything_to_say_is_a_failure_of_its_frame(mute: Mute) -> None:
    """Fresh means that there is a payload; a forecast that raises ends nothing, and later frames say why in turn."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.publisher.measured(bench.capture(1), mute)
    bench.capture(2)
    bench.publisher.refuse(2, Reason.SUPERSEDED)
    assert bench.said[1:] == [(1, Status.FORECAST, Reason.FAILED), (2, Status.BLIND, Reason.SUPERSEDED)]
    assert bench.answers[1].payload == ("seen in 0", PERIOD_NS)
    assert bench.ledger.books().balanced


def test_nothing_is_published_late() -> None:
    """A publisher that runs after the deadline counts the frame as missed, and goes on with the next."""
    bench = Bench()
    first = bench.capture(0)
    second = bench.capture(1)
    assert first.due_ns is not None
    bench.turn_to(first.due_ns + 1)
    bench.measured(second)
    bench.publisher.publish_due()
    assert bench.said == [(1, Status.FRESH, None)]
    books = bench.ledger.books()
    assert books.fates[Fate.MISSED] == 1
    assert books.balanced


@pytest.mark.parametrize(("after_ns", "late"), [(0, 0), (1, 1)])
def test_an_answer_that_came_late_is_counted(after_ns: int, late: int) -> None:
    """published_late goes by when the last sink had it."""
    bench = Bench()
    info = bench.capture(0)
    bench.publisher._hand_over = lambda _: LIMIT_NS + after_ns
    bench.measured(info)
    assert bench.ledger.books().published_late == late
    assert bench.ledger.books().fates[Fate.FRESH] == 1


def test_an_answer_that_nobody_had_in_time_is_missed() -> None:
    """The sinks look at the clock, too: what they refuse was not published, whatever it would have said."""
    blames = Blames(("detect",))
    bench = Bench(blames=blames)

    def stalled(answer: Answer) -> None:
        bench.clock.advance(LIMIT_NS)

    blames.note(Event.CAPTURED, 0, 0)
    info = bench.capture(0)
    bench.turn_to(NS_PER_MS)
    bench.publisher._hand_over = stalled
    bench.measured(info)
    bench.publisher._hand_over = bench.take
    bench.measured(bench.capture(1))
    assert bench.said == [(1, Status.FRESH, None)]
    books = bench.ledger.books()
    assert (books.fates[Fate.MISSED], books.fates[Fate.FRESH], books.published_late) == (1, 1, 0)
    assert [blame.frames for blame in blames.top()] == [1]
    assert [ages.count for ages in bench.publisher.ages()] == [1, 1]


def test_finding_who_is_to_blame_makes_no_answer_late() -> None:
    """It is found before the last look at the clock: the frame is missed when that takes too long."""
    clock, ledger, blames = ManualClock(), Ledger(), Blames(("detect",))

    class Slow(Timings):
        """Keeps who takes note of a blame waiting."""

        def note(self, event: Event, at_ns: int, frame_id: int = -1, text: str = "", value: int = 0) -> None:
            if event is Event.BLAMED:
                clock.advance(LIMIT_NS)

    def nothing_comes(answer: Answer) -> int:
        raise AssertionError(answer)

    publisher = Publisher(
        limit_ns=LIMIT_NS, clock=clock, ledger=ledger, hand_over=nothing_comes, timings=Slow(), blames=blames
    )
    publisher.warmed()
    blames.note(Event.CAPTURED, 0, 0)
    publisher.register(frame_info(0, captured_ns=0, limit_ns=LIMIT_NS), CaptureClock.ARRIVAL)
    clock.advance(LIMIT_NS - NS_PER_MS)
    publisher.publish_due()
    books = ledger.books()
    assert (books.fates[Fate.MISSED], books.published_late, books.balanced) == (1, 0, True)
    assert [blame.frames for blame in blames.top()] == [1]


def test_a_frame_captured_when_the_run_is_over_is_not_counted() -> None:
    """A source whose read was stuck gives its packet when the books are closed already; they stay balanced."""
    bench = Bench()
    bench.capture(0)
    bench.publisher.stop()
    assert bench.ledger.abandon_open() == 1
    bench.measured(bench.capture(1))
    bench.publisher.undecodable(0)
    assert bench.said == []
    books = bench.ledger.books()
    assert (books.captured, books.open_frames, books.balanced) == (1, 0, True)


def test_undecodable_frames_get_no_answer() -> None:
    """They are counted; one that was answered already stays answered."""
    bench = Bench()
    bench.capture(0)
    bench.publisher.undecodable(0)
    assert bench.said == []
    assert bench.ledger.books().fates[Fate.UNDECODABLE] == 1
    bench.capture(1)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    bench.publisher.undecodable(1)
    assert bench.ledger.books().fates[Fate.UNDECODABLE] == 1
    assert bench.ledger.books().balanced


def test_warming_is_the_reason_until_the_model_is_ready() -> None:
    """A frame that nobody could measure yet says so."""
    bench = Bench()
    cold = Publisher(limit_ns=LIMIT_NS, clock=bench.clock, ledger=bench.ledger, hand_over=bench.take)
    cold.register(frame_info(0, captured_ns=0, limit_ns=LIMIT_NS), CaptureClock.ARRIVAL)
    bench.turn_to(LIMIT_NS - cold.margin_ns)
    cold.publish_due()
    assert bench.said == [(0, Status.BLIND, Reason.WARMING)]


def test_paused_is_the_reason_of_frames_that_nobody_admitted() -> None:
    """One that was on its way already is late as ever; after the pause all are."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.capture(1)
    bench.publisher.admitted(1)
    bench.publisher.pause()
    bench.capture(2)
    for number in (1, 2):
        bench.turn_to(number * PERIOD_NS + LIMIT_NS - 5 * NS_PER_MS)
        bench.publisher.publish_due()
    assert bench.said[1:] == [(1, Status.FORECAST, Reason.LATE), (2, Status.FORECAST, Reason.PAUSED)]
    bench.publisher.resume()
    bench.capture(3)
    bench.turn_to(3 * PERIOD_NS + LIMIT_NS - 5 * NS_PER_MS)
    bench.publisher.publish_due()
    assert bench.said[3:] == [(3, Status.FORECAST, Reason.LATE)]


def test_a_long_pause_is_blind() -> None:
    """Forecasts reach as far as their horizon; then answers are blind, and so is the health."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.publisher.pause()
    for number in range(1, 120):
        bench.capture(number)
        bench.publisher.publish_due()
    reasons = {reason for _, _, reason in bench.said[1:]}
    statuses = [status for _, status, _ in bench.said[1:]]
    assert reasons == {Reason.PAUSED}
    assert statuses == sorted(statuses, key=[Status.FORECAST, Status.BLIND].index)
    assert statuses.count(Status.FORECAST) == 500 * NS_PER_MS // PERIOD_NS
    assert bench.publisher.health.state is Health.BLIND


def test_a_shorter_limit_hurries_those_that_wait() -> None:
    """They are answered before the frame that came after the change, each with a margin that fits it."""
    bench = Bench()
    bench.measured(bench.capture(0))
    bench.capture(1)
    bench.publisher.change_limit(20 * NS_PER_MS)
    assert bench.publisher.margin_ns == 20 * NS_PER_MS // 3
    bench.turn_to(2 * PERIOD_NS)
    bench.publisher.register(frame_info(2, captured_ns=2 * PERIOD_NS, limit_ns=20 * NS_PER_MS), CaptureClock.ARRIVAL)
    wake_ns = bench.publisher.publish_due()
    assert wake_ns == 2 * PERIOD_NS + 20 * NS_PER_MS - 10 * NS_PER_MS  # the margin of the first in the line
    bench.turn_to(wake_ns)
    assert bench.publisher.publish_due() == 2 * PERIOD_NS + 20 * NS_PER_MS - 20 * NS_PER_MS // 3
    assert [frame_id for frame_id, _, _ in bench.said] == [0, 1]


def test_a_longer_limit_leaves_those_that_wait_alone() -> None:
    """A frame keeps the deadline of its capture."""
    bench = Bench()
    bench.measured(bench.capture(0))
    info = bench.capture(1)
    bench.publisher.change_limit(400 * NS_PER_MS)
    bench.publisher.register(frame_info(2, captured_ns=2 * PERIOD_NS, limit_ns=400 * NS_PER_MS), CaptureClock.ARRIVAL)
    assert info.due_ns is not None
    assert bench.publisher.publish_due() == info.due_ns - bench.publisher.margin_ns


def test_a_result_that_cannot_be_moved_serves_its_own_frame_only() -> None:
    """Without a tracker there are fresh and blind answers."""
    bench = Bench()
    info = bench.capture(0)
    bench.publisher.measured(info, "boxes")
    bench.capture(1)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    assert [(answer.status, answer.payload) for answer in bench.answers] == [
        (Status.FRESH, "boxes"),
        (Status.BLIND, None),
    ]


def test_answers_may_be_true_for_the_moment_they_are_given() -> None:
    """Fresh and forecast ones; beyond the horizon they are what they were at the capture, and do not say otherwise."""
    bench = Bench(project_to=ProjectTo.PUBLISH)
    first = bench.capture(0)
    bench.turn_to(20 * NS_PER_MS)
    bench.measured(first)
    bench.capture(1)
    bench.turn_to(90 * NS_PER_MS)
    bench.publisher.refuse(1, Reason.SUPERSEDED)
    far = bench.capture(2)
    bench.publisher.measured(far, Snapshot(far.captured_ns, "near", 10 * NS_PER_MS))
    bench.capture(3)
    bench.turn_to(120 * NS_PER_MS)
    bench.publisher.refuse(3, Reason.SUPERSEDED)
    assert [(answer.status, answer.payload, answer.payload_at_ns) for answer in bench.answers] == [
        (Status.FRESH, ("seen in 0", 20 * NS_PER_MS), 20 * NS_PER_MS),
        (Status.FORECAST, ("seen in 0", 90 * NS_PER_MS), 90 * NS_PER_MS),
        (Status.FRESH, ("near", 0), None),
        (Status.BLIND, None, None),
    ]


def test_a_result_that_cannot_be_moved_is_true_for_its_capture() -> None:
    """Also when answers are wanted for the moment that they are given."""
    bench = Bench(project_to=ProjectTo.PUBLISH)
    info = bench.capture(0)
    bench.turn_to(20 * NS_PER_MS)
    bench.publisher.measured(info, "boxes")
    assert [(answer.payload, answer.payload_at_ns) for answer in bench.answers] == [("boxes", None)]


def test_the_margin_is_learnt_from_timed_wake_ups() -> None:
    """The publisher asks to be woken earlier after it was woken late."""
    bench = Bench()
    bench.measured(bench.capture(0))
    info = bench.capture(1)
    assert info.due_ns is not None
    wake_ns = bench.publisher.publish_due()
    assert wake_ns is not None
    bench.turn_to(wake_ns + 9 * NS_PER_MS)
    bench.publisher.woken(wake_ns)
    assert bench.publisher.margin_ns == 20 * NS_PER_MS
    assert bench.publisher.publish_due() is None
    assert bench.said[1:] == [(1, Status.FORECAST, Reason.LATE)]


def test_before_the_first_result_the_margin_is_as_large_as_it_may_be() -> None:
    """While everything is being set up wake-ups are at their latest, and nothing is lost by being early."""
    bench = Bench()
    info = bench.capture(0)
    assert bench.publisher.publish_due() == LIMIT_NS - LIMIT_NS // 3
    bench.measured(info)
    assert bench.publisher.margin_ns < LIMIT_NS // 3


def test_the_margin_leaves_room_for_the_hand_over() -> None:
    """At the last moment, that is; how long it takes well before a deadline does not matter."""
    bench = Bench()

    def slowly(answer: Answer) -> int:
        bench.clock.advance(9 * NS_PER_MS)
        return bench.clock.now_ns()

    slow = Publisher(
        limit_ns=LIMIT_NS,
        clock=bench.clock,
        ledger=bench.ledger,
        hand_over=slowly,
    )
    bench.publisher = slow
    bench.measured(bench.capture(0))
    first_ns = slow.margin_ns
    assert first_ns < 20 * NS_PER_MS
    info = bench.capture(1)
    assert info.due_ns is not None
    bench.turn_to(info.due_ns - first_ns)
    slow.publish_due()
    assert slow.margin_ns == 20 * NS_PER_MS
    assert bench.ledger.books().published_late == 0


def test_run_ends_when_the_line_is_drained() -> None:
    """Every frame that is inside is still answered, at its time at the latest, and then the thread is over."""
    bench = Bench()
    info = bench.capture(0)
    bench.publisher.drain()
    thread = threading.Thread(target=bench.publisher.run)
    thread.start()
    bench.clock.wait_for_waiters(1)
    assert info.due_ns is not None
    latest_ns = info.due_ns - bench.publisher.margin_ns
    bench.turn_to(latest_ns)
    thread.join(GUARD_S)
    assert not thread.is_alive()
    assert [answer.published_ns for answer in bench.answers] == [latest_ns]


def test_run_ends_when_the_last_frame_of_a_drained_line_is_resolved() -> None:
    """By another thread, before the timer."""
    bench = Bench()
    info = bench.capture(0)
    bench.publisher.drain()
    thread = threading.Thread(target=bench.publisher.run)
    thread.start()
    bench.clock.wait_for_waiters(1)
    bench.measured(info)
    thread.join(GUARD_S)
    assert not thread.is_alive()
    assert bench.said == [(0, Status.FRESH, None)]


def test_after_a_stop_nothing_is_published() -> None:
    """run() returns at once; what is inside stays open for the ledger to abandon."""
    bench = Bench()
    thread = threading.Thread(target=bench.publisher.run)
    thread.start()
    bench.clock.wait_for_waiters(1)
    info = bench.capture(0)
    bench.publisher.stop()
    thread.join(GUARD_S)
    assert not thread.is_alive()
    bench.measured(info)
    assert bench.said == []
    assert bench.ledger.books().open_frames == 1


def test_a_heartbeat_says_that_there_is_no_frame_to_answer() -> None:
    """And the health follows at once: the silence has lasted long enough to be believed."""
    bench = Bench()
    bench.measured(bench.capture(0))
    assert bench.publisher.health.state is Health.OK
    due_ns = bench.publisher.beat_due()
    assert due_ns is not None
    assert bench.beats == []
    bench.turn_to(due_ns)
    assert bench.publisher.beat_due() == due_ns + HEARTBEAT_NS
    bench.publisher.away(Outage.FROZEN)
    bench.turn_to(due_ns + HEARTBEAT_NS)
    bench.publisher.beat_due()
    assert [(beat.reason, beat.health) for beat in bench.beats] == [
        (Outage.SILENT, Health.BLIND),
        (Outage.FROZEN, Health.BLIND),
    ]
    assert bench.beats[0].published_ns - bench.beats[0].silent_ns == bench.answers[0].published_ns
    assert bench.publisher.heartbeats == 2
    assert bench.ledger.books().balanced


def test_no_heartbeat_while_a_frame_waits_for_its_answer() -> None:
    """It will be answered, by its deadline."""
    bench = Bench()
    bench.capture(0)
    bench.turn_to(10 * HEARTBEAT_NS)
    assert bench.publisher.beat_due() is None
    assert bench.beats == []


def test_no_heartbeat_after_the_end() -> None:
    """A stream that is over is not silent."""
    bench = Bench()
    bench.publisher.drain()
    bench.turn_to(10 * HEARTBEAT_NS)
    assert bench.publisher.beat_due() is None
    assert bench.beats == []


def test_a_change_of_health_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """From what, to what and why; that all is well in the beginning is no news."""
    bench = Bench()
    with caplog.at_level(logging.INFO, "framepace"):
        for frame_id in range(70):
            info = bench.capture(frame_id)
            if frame_id < 30:
                bench.measured(info)
            else:
                bench.publisher.refuse(frame_id, Reason.SUPERSEDED)
    said = [(record.levelname, record.getMessage(), record.fields) for record in caplog.records]  # type: ignore[attr-defined]
    assert said == [
        ("INFO", "health is ok, was blind", {"from": "blind", "to": "ok", "reason": None}),
        (
            "WARNING",
            "health is degraded, was ok (superseded)",
            {"from": "ok", "to": "degraded", "reason": "superseded"},
        ),
    ]
