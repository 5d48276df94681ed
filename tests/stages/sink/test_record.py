"""The result record, field by field, and the JSON Schema that announces it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from pipeline.clock import NS_PER_S
from pipeline.errors import Outage
from pipeline.frame import Answer, Blame, CaptureClock, Health, Heartbeat, Reason, Spent, Status
from stages.payloads import Tracks
from stages.sink.record import (
    AnyRecord,
    HeartbeatRecord,
    ResultRecord,
    line_from_answer,
    line_from_heartbeat,
    line_with_gap,
    record_from_answer,
)

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]

_TRACK = {
    "id": 7,
    "class_id": 0,
    "class": "person",
    "score": 0.83,
    "box": [10.0, 20.0, 50.0, 100.0],
    "velocity": [12.35, 0.0, 12.35, -3.0],
    "measured_age_ms": 0.0,
}
_LIVE = {
    "schema": "framepace/1",
    "stream": "cam0",
    "frame": 123,
    "pts_s": 4.1,
    "captured_s": 81234.567891,
    "clock": "pts",
    "status": "fresh",
    "reason": None,
    "due_s": 81234.667891,
    "published_s": 81234.629191,
    "age_ms": 61.3,
    "health": "ok",
    "width": 768,
    "height": 576,
    "tracks": [_TRACK],
}
_LIVE_ONLY = ("captured_s", "due_s", "published_s", "age_ms", "health")


def validate(record: object) -> None:
    schema = AnyRecord.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(record, schema, cls=jsonschema.Draft202012Validator)


def test_a_live_record_has_every_field_in_order(make_answer: Make) -> None:
    """The whole record of a live answer: names, order, values, rounding."""
    record = record_from_answer(make_answer(123))
    assert record == _LIVE
    assert list(record) == list(_LIVE)
    assert list(record["tracks"][0]) == list(_TRACK)  # type: ignore[index]
    validate(record)


def test_a_lossless_record_has_no_live_fields(make_answer: Make) -> None:
    """What would differ from run to run is absent, not null."""
    record = record_from_answer(make_answer(123, live=False))
    assert record == {key: value for key, value in _LIVE.items() if key not in _LIVE_ONLY} | {"clock": "file"}
    validate(record)


@pytest.mark.parametrize("live", [True, False])
def test_blind_is_not_empty(make_answer: Make, make_tracks: MakeTracks, *, live: bool) -> None:
    """A blind answer and an empty scene both have no tracks; the status tells them apart."""
    blind = record_from_answer(make_answer(5, status=Status.BLIND, reason=Reason.WARMING, live=live))
    empty = record_from_answer(make_answer(5, tracks=make_tracks([]), live=live))
    assert (blind["status"], blind["reason"], blind["tracks"]) == ("blind", "warming", [])
    assert (empty["status"], empty["reason"], empty["tracks"]) == ("fresh", None, [])
    validate(blind)
    validate(empty)


def test_a_forecast_says_how_old_it_is(make_answer: Make, make_tracks: MakeTracks) -> None:
    """A forecast has its reason, and each track the age of its measurement at the capture of this frame."""
    tracks = make_tracks(measured_age_ns=33_366_700)
    record = record_from_answer(make_answer(9, status=Status.FORECAST, reason=Reason.SUPERSEDED, tracks=tracks))
    assert (record["status"], record["reason"]) == ("forecast", "superseded")
    assert record["tracks"] == [_TRACK | {"measured_age_ms": 33.367}]
    validate(record)


def test_before_the_first_picture_the_size_is_null(make_answer: Make) -> None:
    """Without a picture there is no size to tell."""
    record = record_from_answer(make_answer(0, status=Status.BLIND, size=None))
    assert record["width"] is None
    assert record["height"] is None
    validate(record)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("health", list(Health))
def test_every_reason_and_health_is_announced(make_answer: Make, reason: Reason, health: Health) -> None:
    """The schema knows every word that the engine may say."""
    answer = make_answer(0, status=Status.FORECAST, reason=reason)
    for clock in CaptureClock:
        validate(record_from_answer(replace(answer, health=health, clock=clock)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "empty"},
        {"reason": "tired"},
        {"frame": -1},
        {"tracks": [_TRACK | {"score": 1.5}]},
        {"tracks": [_TRACK | {"box": [1, 2, 3]}]},
        {"tracks": [_TRACK | {"colour": "red"}]},
        {"captured_s": None},  # left out, never null
        {"gap": 0},
        {"schema": "framepace/2"},
    ],
)
def test_the_schema_refuses_what_no_record_says(wrong: dict[str, object]) -> None:
    """The schema is strict enough to catch a wrong record."""
    validate(_LIVE)
    with pytest.raises(jsonschema.ValidationError):
        validate(_LIVE | wrong)


def test_the_schema_requires_what_every_record_has(make_answer: Make) -> None:
    """A record without one of the fields of a lossless record is refused."""
    record = record_from_answer(make_answer(0, live=False))
    for name in record:
        with pytest.raises(jsonschema.ValidationError):
            validate({key: value for key, value in record.items() if key != name})


def test_numbers_are_rounded_to_what_they_mean(make_answer: Make, make_tracks: MakeTracks) -> None:
    """Boxes to 0.01 px, scores to 0.0001, without the noise of float32 and without a negative zero."""
    tracks = make_tracks([(0.07, -0.001, 1234.5678, 99.999)])
    tracks = replace(tracks, scores=np.array([0.123456], np.float32))
    line = line_from_answer(make_answer(0, tracks=tracks))
    assert '"box":[0.07,0.0,1234.57,100.0]' in line
    assert '"score":0.1235' in line


def test_a_line_is_the_record_as_compact_json(make_answer: Make) -> None:
    """One line, no spaces, any script as itself, and it reads back as the record."""
    answer = make_answer(3)
    tracks = replace(answer.payload, class_names=('Fußgänger "歩"\n',))
    answer = replace(answer, payload=tracks)
    line = line_from_answer(answer, gap=2)
    assert "\n" not in line
    assert ": " not in line
    assert "Fußgänger" in line
    assert json.loads(line) == record_from_answer(answer, gap=2)


@pytest.mark.parametrize("gap", [0, 1, 17])
def test_a_gap_can_be_put_in_later(make_answer: Make, make_tracks: MakeTracks, gap: int) -> None:
    """A line made without a gap and then given one is the line made with it; no gap leaves the field out."""
    for tracks in (make_tracks(), make_tracks([])):
        answer = make_answer(40, tracks=tracks)
        line = line_with_gap(line_from_answer(answer), gap)
        assert line == line_from_answer(answer, gap=gap)
        assert json.loads(line).get("gap") == (gap or None)
        validate(json.loads(line))


@pytest.mark.parametrize("field", ["boxes", "velocities", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_cannot_say_is_an_error(make_answer: Make, make_tracks: MakeTracks, field: str, value: float) -> None:
    """A number that is not finite is refused with the number of the frame, not written as NaN."""
    tracks = make_tracks()
    wrong = replace(tracks, **{field: np.full_like(getattr(tracks, field), value)})
    with pytest.raises(ValueError, match=r"frame 12 .* not finite"):
        line_from_answer(make_answer(12, tracks=wrong))


def test_a_reader_can_move_a_box(make_answer: Make) -> None:
    """The model of a record reads what a sink wrote, by the names in the JSON."""
    record = ResultRecord.model_validate_json(line_from_answer(make_answer(123)))
    track = record.tracks[0]
    assert track.class_name == "person"
    moved = [corner + speed * 0.1 for corner, speed in zip(track.box, track.velocity, strict=True)]
    assert moved == pytest.approx([11.235, 20, 51.235, 99.7])


def test_boxes_that_were_moved_say_to_when(make_answer: Make) -> None:
    """`boxes_at_s` is there exactly when it is not the capture."""
    answer = make_answer(123)
    record = record_from_answer(replace(answer, payload_at_ns=answer.published_ns))
    assert record["boxes_at_s"] == record["published_s"]
    validate(record)
    assert "boxes_at_s" not in record_from_answer(answer)


def test_a_late_answer_says_what_made_it_late(make_answer: Make) -> None:
    """Which step, and how long it took against what is usual."""
    blame = Blame("detect", Spent.RUN, 92_000_000, 41_500_400)
    record = record_from_answer(replace(make_answer(status=Status.FORECAST, reason=Reason.LATE), blame=blame))
    validate(record)
    assert record["blame"] == {"stage": "detect", "part": "run", "took_ms": 92.0, "usual_ms": 41.5}


def test_a_heartbeat_is_blind_and_of_no_frame() -> None:
    """A reader that looks for the frame number finds null, and one that looks for tracks finds none."""
    heartbeat = Heartbeat("cam0", Outage.SILENT, 5 * NS_PER_S, NS_PER_S // 2, Health.BLIND)
    line = line_from_heartbeat(heartbeat)
    record = json.loads(line)
    assert record == {
        "schema": "framepace/1",
        "stream": "cam0",
        "frame": None,
        "status": "blind",
        "reason": "silent",
        "published_s": 5.0,
        "silent_ms": 500.0,
        "health": "blind",
        "tracks": [],
    }
    validate(record)
    assert isinstance(AnyRecord.model_validate_json(line).root, HeartbeatRecord)
    with pytest.raises(jsonschema.ValidationError):
        validate(record | {"status": "fresh"})
