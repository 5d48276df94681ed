"""What stages are shown besides the frames that they measure."""

from __future__ import annotations

import pytest

from pipeline.assembly import RunSettings
from pipeline.clock import NS_PER_MS, RealClock
from pipeline.errors import LinkClosed
from pipeline.frame import Envelope, FrameInfo, Mode
from pipeline.graph import Graph
from pipeline.run import Run
from pipeline.testing import ManualClock, NumberSource, PassDetector, RecordingSink, SnapshotStage, frame_info
from pipeline.watching import Watcher


class Curious(SnapshotStage):
    """Wants to see every second picture; raises when asked about one, or when shown one."""

    watches = int

    def __init__(self, *, asked_fails_on: int | None = None, shown_fails_on: int | None = None) -> None:
        super().__init__()
        self._asked_fails_on = asked_fails_on
        self._shown_fails_on = shown_fails_on
        self.shown: list[int] = []

    def would_watch(self, info: FrameInfo) -> bool:
        if info.frame_id == self._asked_fails_on:
            raise ZeroDivisionError("asked in vain")
        return info.frame_id % 2 == 0

    def watch(self, payload: object, info: FrameInfo) -> None:
        if info.frame_id == self._shown_fails_on:
            raise ZeroDivisionError("shown in vain")
        self.shown.append(info.frame_id)


def offer(watcher: Watcher, *frame_ids: int) -> None:
    for frame_id in frame_ids:
        watcher.offer(Envelope(frame_info(frame_id), frame_id))


def test_a_stage_sees_what_it_wants() -> None:
    """In order."""
    stage = Curious()
    watcher = Watcher("track", stage, ManualClock())
    offer(watcher, 0, 1, 2, 3)
    watcher.link.end()
    watcher.run()
    assert stage.shown == [0, 2]


def test_a_stage_that_lags_behind_sees_the_newest() -> None:
    """Nobody waits for it: the oldest pictures are left out."""
    stage = Curious()
    watcher = Watcher("track", stage, ManualClock())
    offer(watcher, *range(10))
    watcher.link.end()
    watcher.run()
    assert stage.shown == [6, 8]
    assert watcher.link.statistics().dropped == 3


def test_a_stage_that_raises_when_shown_is_shown_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and who offers is not told."""
    stage = Curious(shown_fails_on=0)
    watcher = Watcher("track", stage, ManualClock())
    offer(watcher, 0)
    watcher.run()
    offer(watcher, 2, 4)
    assert (stage.shown, len(watcher.link)) == ([], 0)
    assert caplog.messages == ["stage track is shown no more pictures: ZeroDivisionError: shown in vain"]


def test_a_stage_that_raises_when_asked_is_shown_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """The same; the decoder's thread, which asks, goes on."""
    watcher = Watcher("track", Curious(asked_fails_on=2), ManualClock())
    offer(watcher, 0, 2, 4)
    assert len(watcher.link) == 1
    assert caplog.messages == ["stage track is shown no more pictures: ZeroDivisionError: asked in vain"]


def test_a_stop_is_told_to_who_offers() -> None:
    """It is the stop of the run that ends the decoder's thread, too."""
    watcher = Watcher("track", Curious(), ManualClock())
    watcher.link.close()
    with pytest.raises(LinkClosed):
        offer(watcher, 0)


@pytest.mark.parametrize(
    "stage", [Curious(), Curious(asked_fails_on=4), Curious(shown_fails_on=4)], ids=["good", "asked", "shown"]
)
def test_a_run_does_not_depend_on_who_watches(stage: Curious) -> None:
    """Every frame is answered, also when watching fails."""
    source, sink = NumberSource(20, period_ns=5 * NS_PER_MS, clock=RealClock()), RecordingSink()
    plan = Graph.chain(source, None, [("detect", PassDetector()), ("track", stage)], [("sink", sink)]).check(Mode.LIVE)
    run = Run(plan, RunSettings("test", Mode.LIVE, cores=1))
    run.start()
    report = run.join()
    assert (report.balanced, report.stuck, report.frames.captured) == (True, [], 20)
    assert len(sink.answers) == 20 - report.frames.missed
