"""The stand-in for a model: the truth, noise that can be repeated, and time that passes on the run's clock."""

from __future__ import annotations

import threading

import numpy as np

from pipeline.clock import NS_PER_MS
from pipeline.testing import ManualClock, check_stage, frame_info, open_context
from stages.detect.synthetic import SyntheticDetectOptions, SyntheticDetector
from stages.payloads import Detections, Picture

PIXELS = np.zeros((60, 80, 3), dtype=np.uint8)
TRUTH = Detections(
    np.array([[0, 0, 10, 10], [30, 20, 79, 59]], dtype=np.float32),
    np.array([1.0, 0.9], dtype=np.float32),
    np.array([0, 1], dtype=np.int32),
    ("square", "circle"),
    (80, 60),
)


def make(**options: object) -> SyntheticDetector:
    """A stand-in with these options, not open."""
    return SyntheticDetector(SyntheticDetectOptions.model_validate(options))


def found(detector: SyntheticDetector, picture: Picture, frame_id: int = 0) -> Detections:
    """What it says of a picture."""
    detector.open(open_context(ManualClock()))
    result = detector.process(picture, frame_info(frame_id))
    detector.close()
    return result


def test_contract() -> None:
    """It keeps to what every stage must, with its noise too."""
    pictures = [Picture(array=PIXELS, truth=TRUTH), Picture(array=PIXELS)]
    check_stage(lambda: make(noise_px=2.0), pictures, same=lambda first, second: str(first) == str(second))


def test_truth() -> None:
    """Without noise it returns what was drawn."""
    assert found(make(), Picture(array=PIXELS, truth=TRUTH)) is TRUTH


def test_real_video() -> None:
    """A picture without truth has no boxes, and keeps its size."""
    result = found(make(), Picture(array=PIXELS, rotation_deg=90))
    assert (len(result), result.boxes.shape, result.image_size) == (0, (0, 4), (60, 80))


def test_noise() -> None:
    """Noise follows from the frame number, and leaves boxes the right way round and inside the picture."""
    picture = Picture(array=PIXELS, truth=TRUTH)
    shaken = [found(make(noise_px=30.0), picture, frame_id).boxes for frame_id in range(50)]
    for boxes in shaken:
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
        assert boxes.min() >= 0
        assert (boxes[:, 2] <= 80).all()
        assert (boxes[:, 3] <= 60).all()
    assert not np.array_equal(shaken[0], shaken[1])
    np.testing.assert_array_equal(shaken[3], found(make(noise_px=30.0), picture, 3).boxes)
    assert TRUTH.boxes[0].tolist() == [0, 0, 10, 10]


def test_noise_has_the_size_that_was_asked_for() -> None:
    """The standard deviation of an edge that is far from the border is `noise_px`."""
    picture = Picture(array=PIXELS, truth=TRUTH)
    edges = np.array([found(make(noise_px=2.0), picture, frame_id).boxes[1, 0] for frame_id in range(400)])
    assert abs(edges.mean() - 30) < 0.5
    assert abs(edges.std() - 2) < 0.3


def test_service_time_passes_on_the_runs_clock() -> None:
    """It waits as long as it is told, on the clock that it is given."""
    clock = ManualClock()
    detector = make(service_time="18ms")
    detector.open(open_context(clock))
    done = threading.Event()

    def work() -> None:
        detector.process(Picture(array=PIXELS, truth=TRUTH), frame_info())
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    clock.wait_for_waiters(1)
    clock.advance(17 * NS_PER_MS)
    clock.wait_for_waiters(1)
    assert not done.is_set()
    clock.advance(1 * NS_PER_MS)
    thread.join(10)
    assert done.is_set()


def test_burning_computes_until_the_time_is_up() -> None:
    """With `burn` it looks at the clock until the time has passed, and does not wait on it."""

    class TickingClock(ManualClock):
        """Every look takes a millisecond."""

        def now_ns(self) -> int:
            self.advance(NS_PER_MS)
            return super().now_ns()

    clock = TickingClock()
    detector = make(service_time="18ms", burn=True)
    detector.open(open_context(clock))
    before_ns = clock.now_ns()
    detector.process(Picture(array=PIXELS, truth=TRUTH), frame_info())
    assert 18 * NS_PER_MS <= clock.now_ns() - before_ns <= 21 * NS_PER_MS


def test_description() -> None:
    """It is not taken for a model in the report."""
    assert make().describe() == {"model": "synthetic", "provider": "none", "input": "picture"}
