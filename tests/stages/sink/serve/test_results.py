"""Records for clients with wishes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pipeline.frame import Answer, Status
from stages.payloads import Tracks
from stages.sink.record import line_from_answer, record_from_answer
from stages.sink.serve.results import ResultQueue, Results, Wishes

Make = Callable[..., Answer]
MakeTracks = Callable[..., Tracks]
THREE = [(10, 20, 50, 100)] * 3


def wishes(**asked: str) -> Wishes:
    return Wishes.model_validate(asked)


def joined(results: Results, **asked: str) -> ResultQueue:
    """A client with its wishes that has just come."""
    queue = results.queue(wishes(**asked))
    results.clients._add(queue, "::1")
    return queue


def waiting(queue: ResultQueue) -> list[dict[str, object]]:
    lines = []
    while (line := queue._take()) is not None:
        lines.append(json.loads(line))
    return lines


@pytest.fixture
def results() -> Results:
    return Results(10, client_queue=8, patience_s=1)


@pytest.mark.parametrize(
    ("asked", "track_ids"),
    [
        ({}, [7, 8, 9]),
        ({"classes": "person"}, [7]),  # classes 0, 1, 2: person, car and one without a name
        ({"classes": "person, car"}, [7, 8]),
        ({"classes": "class 2"}, [9]),
        ({"classes": "cat"}, []),
        ({"classes": ","}, [7, 8, 9]),  # names nothing
        ({"min_score": "0.7"}, [7, 8]),  # scores .83, .73, .63
        ({"min_score": "0.7", "classes": "car,cat"}, [8]),
        ({"min_score": "1"}, []),
    ],
)
def test_tracks_are_filtered(
    results: Results, make_answer: Make, make_tracks: MakeTracks, asked: dict[str, str], track_ids: list[int]
) -> None:
    """Only those asked for; the rest of the record stays as it is."""
    queue = joined(results, **asked)
    record = record_from_answer(make_answer(0, tracks=make_tracks(THREE)))
    results.offer(0, record)
    [sent] = waiting(queue)
    assert [track["id"] for track in sent["tracks"]] == track_ids  # type: ignore[attr-defined, index]
    assert {**sent, "tracks": None} == {**record, "tracks": None}


def test_without_wishes_it_is_the_line_of_the_record(results: Results, make_answer: Make) -> None:
    """The same bytes as everywhere else."""
    queue = joined(results)
    answer = make_answer(3)
    results.offer(3, record_from_answer(answer))
    assert queue._take() == line_from_answer(answer)


def test_each_client_gets_its_own(results: Results, make_answer: Make, make_tracks: MakeTracks) -> None:
    """One client's wishes are not those of another, and a blind record has nothing to filter."""
    every, cars, seldom = joined(results), joined(results, classes="car"), joined(results, every="2")
    for number in range(3):
        answer = make_answer(number, tracks=make_tracks(THREE), status=Status.BLIND if number == 2 else Status.FRESH)
        results.offer(number, record_from_answer(answer))
    assert [len(record["tracks"]) for record in waiting(every)] == [3, 3, 0]  # type: ignore[arg-type]
    assert [len(record["tracks"]) for record in waiting(cars)] == [1, 1, 0]  # type: ignore[arg-type]
    assert [record["frame"] for record in waiting(seldom)] == [0, 2]


def test_skipped_records_are_counted(results: Results, make_answer: Make) -> None:
    """Of all clients together; the record after them says how many."""
    queues = [joined(results), joined(results)]
    for number in range(10):
        results.offer(number, record_from_answer(make_answer(number)))
    assert results.skipped == 4
    assert waiting(queues[0])[0]["gap"] == 2


@pytest.mark.parametrize(
    "asked", [{"min_score": "1.1"}, {"min_score": "nan"}, {"min_score": "x"}, {"every": "0"}, {"every": "1.5"}]
)
def test_wishes_that_make_no_sense(asked: dict[str, str]) -> None:
    """They are refused."""
    with pytest.raises(ValidationError):
        wishes(**asked)
