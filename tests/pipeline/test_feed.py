"""Reading the source, and the way back to a lost one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.clock import NS_PER_MS, NS_PER_S, Flag
from pipeline.errors import Outage, SourceOpenError, StreamLost
from pipeline.feed import Backoff, Feed
from pipeline.frame import CaptureClock
from pipeline.intake import Intake, Registered
from pipeline.stage import OpenContext, Sample, Source
from pipeline.testing import ManualClock, open_context


class Scripted(Source):
    """Gives or raises what the script says, for reading and for opening again."""

    def __init__(self, reads: list[Sample | BaseException], opens: list[BaseException | None] | None = None) -> None:
        self._reads: Iterator[Sample | BaseException] = iter(reads)
        self._opens = iter(opens or [])
        self.events: list[str] = []
        self.close_error: Exception | None = None

    def open(self, context: OpenContext) -> None:
        self.events.append("open")
        error = next(self._opens, None)
        if error is not None:
            raise error

    def close(self) -> None:
        self.events.append("close")
        if self.close_error is not None:
            raise self.close_error

    def read(self) -> Sample | None:
        found = next(self._reads, None)
        if isinstance(found, BaseException):
            raise found
        return found


class Impatient(Flag):
    """Turns the clock instead of waiting, and notes how long the wait would have been; stops after some waits."""

    def __init__(self, clock: ManualClock, *, patience: int) -> None:
        super().__init__(clock)
        self._manual = clock
        self._patience = patience
        self.waited_ns: list[int] = []

    def wait(self, timeout_ns: int) -> bool:
        if len(self.waited_ns) == self._patience:
            self.set()
            return True
        self.waited_ns.append(timeout_ns)
        self._manual.advance(timeout_ns)
        return self.is_set


class Bench:
    """A feed on a scripted source."""

    def __init__(self, source: Scripted, *, patience: int = 100, give_up_ns: int | None = None) -> None:
        self.clock = ManualClock(NS_PER_S)
        self.stopping = Impatient(self.clock, patience=patience)
        self.registered: list[Registered] = []
        self.outages: list[Outage] = []
        self.delivered: list[tuple[int, object]] = []
        self.intake = Intake("cam", limit_ns=NS_PER_S, register=self.registered.append)
        self.feed = Feed(
            source=source,
            context=open_context(self.clock),
            intake=self.intake,
            clock=self.clock,
            stopping=self.stopping,
            away=self.outages.append,
            deliver=lambda ticket, payload: self.delivered.append((ticket, payload)),
            backoff=Backoff(100 * NS_PER_MS, 500 * NS_PER_MS, jitter=0, give_up_ns=give_up_ns),
        )


def sample(payload: str | None, pts_ns: int | None = None, dts_ns: int | None = None) -> Sample:
    return Sample(payload, pts_ns, dts_ns, None, CaptureClock.ARRIVAL)


def test_every_sample_gets_a_ticket_and_the_time_of_its_arrival() -> None:
    """Until the source says that it is over."""
    bench = Bench(Scripted([sample("a"), sample("b")]))
    bench.feed.run()
    assert bench.delivered == [(0, "a"), (1, "b")]
    assert [one.info.captured_ns for one in bench.registered] == [NS_PER_S, NS_PER_S]
    assert bench.feed.capture_clock is CaptureClock.ARRIVAL
    assert bench.feed.reconnects == 0


def test_a_lost_source_is_closed_and_opened_with_growing_patience() -> None:
    """The waits double up to the most; frames that waited for their turn are registered before the break."""
    refused = SourceOpenError("cam", "refused")
    source = Scripted(
        [sample("p", 900, 0), StreamLost("silent"), sample("i", 100, 100)], [refused, StreamLost("at once"), refused]
    )
    bench = Bench(source)
    bench.feed.run()
    assert source.events == ["close", "open", "open", "open", "open"]
    assert bench.stopping.waited_ns == [100 * NS_PER_MS, 200 * NS_PER_MS, 400 * NS_PER_MS, 500 * NS_PER_MS]
    assert bench.feed.reconnects == 1
    assert [round(one.info.pts_s * NS_PER_S) for one in bench.registered] == [900, 100]
    assert bench.delivered == [(0, "p"), (1, "i")]


def test_losses_are_counted_by_what_became_of_the_source() -> None:
    """And those who wait for answers are told at once."""
    reads: list[Sample | BaseException] = [StreamLost("cut"), sample("a"), StreamLost("quiet", Outage.SILENT)]
    bench = Bench(Scripted([*reads, StreamLost("still quiet", Outage.SILENT), sample("b")]))
    bench.feed.run()
    assert bench.outages == [Outage.ERROR, Outage.SILENT, Outage.SILENT]
    assert bench.feed.losses == {Outage.ENDED: 0, Outage.ERROR: 1, Outage.SILENT: 2, Outage.FROZEN: 0}
    assert bench.feed.away_ns == sum(bench.stopping.waited_ns)


def test_waits_differ_at_random_within_bounds() -> None:
    """So that many who lost one camera do not all come back at once."""
    backoff = Backoff(100 * NS_PER_MS, 800 * NS_PER_MS)
    for attempt, most_ms in enumerate([100, 200, 400, 800, 800]):
        waits = {backoff.delay_ns(attempt) for _ in range(50)}
        least_ns = max(100, most_ms // 2) * NS_PER_MS
        assert all(least_ns <= wait_ns <= most_ms * NS_PER_MS for wait_ns in waits)
        assert len(waits) > 1 or attempt == 0


def test_it_gives_up_when_told_to() -> None:
    """After one last attempt when the time is up, and says for how long it tried."""
    source = Scripted([StreamLost("silent", Outage.SILENT)], [SourceOpenError("cam", "refused")] * 20)
    bench = Bench(source, give_up_ns=1200 * NS_PER_MS)
    with pytest.raises(StreamLost, match="cam: refused; gave up after 1200ms") as lost:
        bench.feed.run()
    assert lost.value.outage is Outage.SILENT
    assert bench.stopping.waited_ns == [duration * NS_PER_MS for duration in (100, 200, 400, 500)]


def test_what_cannot_be_decoded_is_counted_and_not_handed_on() -> None:
    """The source knew that too much of it was lost."""
    bench = Bench(Scripted([sample("a"), sample(None), sample("b")]))
    bench.feed.run()
    assert bench.delivered == [(0, "a"), (2, "b")]
    assert [one.undecodable for one in bench.registered] == [False, True, False]


def test_a_source_that_is_lost_at_once_is_not_pressed() -> None:
    """The waits go on growing until it gives something to work on."""
    lost = StreamLost("cut off")
    bench = Bench(Scripted([lost, lost, lost, sample("a"), lost, sample("b")]))
    bench.feed.run()
    assert bench.stopping.waited_ns == [duration * NS_PER_MS for duration in (100, 200, 400, 100)]
    assert bench.feed.reconnects == 4
    assert bench.delivered == [(0, "a"), (1, "b")]


def test_a_source_that_comes_back_after_the_stop_is_closed() -> None:
    """The run may not have waited for it."""

    class Slow(Scripted):
        """The stop is asked while it opens."""

        def open(self, context: OpenContext) -> None:
            super().open(context)
            bench.stopping.set()

    source = Slow([StreamLost("unplugged"), sample("never read")])
    bench = Bench(source)
    bench.feed.run()
    assert source.events == ["close", "open", "close"]
    assert bench.feed.reconnects == 0
    assert bench.delivered == []


def test_an_unexpected_error_of_opening_again_is_passed_on() -> None:
    """Only what an absent source raises is waited out."""
    bench = Bench(Scripted([StreamLost("unplugged")], [TypeError("defect")]))
    with pytest.raises(TypeError, match="defect"):
        bench.feed.run()


def test_a_broken_source_may_fail_to_close() -> None:
    """It is opened again all the same."""
    source = Scripted([StreamLost("unplugged"), sample("a")])
    source.close_error = OSError("no such device")
    bench = Bench(source)
    bench.feed.run()
    assert bench.delivered == [(0, "a")]


def test_a_stop_ends_the_search_for_a_lost_source() -> None:
    """It is not opened any more."""
    source = Scripted([StreamLost("unplugged"), sample("never read")], [SourceOpenError("cam", "away")] * 9)
    bench = Bench(source, patience=3)
    bench.feed.run()
    assert source.events == ["close", "open", "open", "open"]
    assert bench.delivered == []


def test_why_a_source_stays_away_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """And again when it is another reason; all attempts are there for who wants to know."""
    refused, full = SourceOpenError("cam", "connection refused"), SourceOpenError("cam", "too many open files")
    source = Scripted([StreamLost("unplugged"), sample("a")], [refused, refused, full, full, refused])
    bench = Bench(source)
    with caplog.at_level("INFO", logger="framepace"):
        bench.feed.run()
    said = [record for record in caplog.records if "still away" in record.getMessage()]
    assert [record.levelname for record in said] == ["WARNING", "INFO", "WARNING", "INFO", "WARNING"]


def test_other_errors_are_passed_on() -> None:
    """A defect of a source is no lost connection."""
    bench = Bench(Scripted([sample("a"), KeyError("defect")]))
    with pytest.raises(KeyError):
        bench.feed.run()
    assert bench.delivered == [(0, "a")]


def test_an_outage_counts_while_it_lasts() -> None:
    """Whoever looks meanwhile is told how the source is lost, and for how long it has been."""
    seen: list[tuple[Outage | None, int]] = []
    source = Scripted([StreamLost("gone", Outage.SILENT)], [SourceOpenError("cam", "no"), None])
    bench = Bench(source)
    opened = source.open

    def open_and_look(context: OpenContext) -> None:
        seen.append((bench.feed.outage, bench.feed.away_ns))
        opened(context)

    source.open = open_and_look  # type: ignore[method-assign]
    bench.feed.run()
    assert [outage for outage, _ in seen] == [Outage.SILENT] * 2
    assert 0 < seen[0][1] < seen[1][1]
    assert (bench.feed.outage, bench.feed.away_ns) == (None, seen[1][1])
