"""The order of packets: late, lost, doubled and strange ones."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS
from stages.capture.rtsp.ordering import MAX_WAITING, Ordered, Sequencer

WINDOW_NS = 50 * NS_PER_MS
SSRC = 7


def packet(sequence: int, *, ssrc: int = SSRC, payload_type: int = 96) -> bytes:
    return struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, 0, ssrc) + b"x"


def numbers(ordered: Sequence[Ordered]) -> list[int]:
    return [one.packet.sequence for one in ordered]


def push_numbers(sequencer: Sequencer, sequences: Sequence[int], *, now_ns: int = 0) -> list[Ordered]:
    return [one for sequence in sequences for one in sequencer.push(packet(sequence), now_ns)]


@pytest.fixture
def patient() -> Sequencer:
    """A sequencer that waits 50 ms."""
    return Sequencer(payload_type=96, reorder_ns=WINDOW_NS)


@pytest.fixture
def impatient() -> Sequencer:
    """A sequencer that waits for nothing."""
    return Sequencer(payload_type=96, reorder_ns=0)


def test_packets_in_order_pass_at_once(impatient: Sequencer) -> None:
    """In order, each packet is given back as it comes, over the wrap of the sequence too."""
    sequences = [(65_500 + step) & 0xFFFF for step in range(100)]
    ordered = push_numbers(impatient, sequences)
    assert numbers(ordered) == sequences
    assert [one.restarted for one in ordered] == [True] + [False] * 99
    assert sum(one.lost_before for one in ordered) == impatient.counts.lost == 0


def test_an_overtaken_packet_is_waited_for(patient: Sequencer) -> None:
    """Within the window order heals, with the arrival of each packet kept."""
    push_numbers(patient, [65_534])
    assert patient.push(packet(0), 10) == []
    assert patient.push(packet(1), 20) == []
    assert patient.next_poll_ns() == 10 + WINDOW_NS
    ordered = patient.push(packet(65_535), 10 + WINDOW_NS)
    assert numbers(ordered) == [65_535, 0, 1]
    assert [one.arrival_ns for one in ordered] == [10 + WINDOW_NS, 10, 20]
    assert patient.counts.reordered == 1
    assert patient.counts.lost == 0
    assert patient.next_poll_ns() is None


def test_beyond_the_window_a_packet_is_lost(patient: Sequencer) -> None:
    """The first packet behind a gap sets the time; what comes after that is late, and then a duplicate."""
    push_numbers(patient, [10])
    assert patient.push(packet(13), 0) == []
    assert patient.poll(WINDOW_NS - 1) == []
    (one,) = patient.poll(WINDOW_NS)
    assert (one.packet.sequence, one.lost_before) == (13, 2)
    assert patient.push(packet(12), WINDOW_NS) == []
    assert patient.push(packet(12), WINDOW_NS) == []
    assert (patient.counts.lost, patient.counts.late, patient.counts.duplicates) == (2, 1, 1)


def test_later_arrivals_give_up_without_a_poll(patient: Sequencer) -> None:
    """A reader that is never idle needs no poll: any arrival looks at the time, even one that is not RTP."""
    push_numbers(patient, [10])
    push_numbers(patient, [12])
    assert numbers(patient.push(b"?", WINDOW_NS)) == [12]


def test_two_gaps_are_given_up_each_in_its_time(patient: Sequencer) -> None:
    """A second gap is waited for from the arrival of the first packet behind it."""
    push_numbers(patient, [10])
    patient.push(packet(12), 0)
    patient.push(packet(14), 1000)
    assert numbers(patient.poll(WINDOW_NS)) == [12]
    assert patient.next_poll_ns() == WINDOW_NS + 1000
    assert numbers(patient.poll(WINDOW_NS + 1000)) == [14]


def test_without_a_window_a_gap_is_a_loss_at_once(impatient: Sequencer) -> None:
    """Over TCP nothing overtakes: a missing number is lost."""
    ordered = push_numbers(impatient, [1, 2, 5])
    assert [one.lost_before for one in ordered] == [0, 0, 2]
    assert push_numbers(impatient, [4]) == []
    assert impatient.counts.late == 1


def test_a_full_window_gives_up(patient: Sequencer) -> None:
    """More packets than the window holds end the waiting, whatever the time."""
    push_numbers(patient, [0])
    assert push_numbers(patient, range(2, 2 + MAX_WAITING)) == []
    ordered = push_numbers(patient, [2 + MAX_WAITING])
    assert numbers(ordered) == list(range(2, 3 + MAX_WAITING))
    assert patient.counts.lost == 1


@pytest.mark.parametrize(("sequence", "ssrc"), [(0, 8), (40_000, SSRC), (11 + 3000, SSRC), (10 - MAX_WAITING, SSRC)])
def test_one_stray_packet_changes_nothing(impatient: Sequencer, sequence: int, ssrc: int) -> None:
    """A single packet of another sender, or far off, is dropped when the known sequence goes on."""
    push_numbers(impatient, [10])
    assert impatient.push(packet(sequence, ssrc=ssrc), 0) == []
    assert numbers(push_numbers(impatient, [11])) == [11]
    assert impatient.counts.other == 1
    assert impatient.ssrc == SSRC


@pytest.mark.parametrize(("sequence", "ssrc"), [(500, 8), (40_000, SSRC)])
def test_a_new_sequence_is_taken_with_its_second_packet(impatient: Sequencer, sequence: int, ssrc: int) -> None:
    """Two packets in a row of a new sender, or of a new numbering, are believed, and neither is lost."""
    push_numbers(impatient, [10])
    impatient.push(packet(sequence, ssrc=ssrc), 1)
    ordered = impatient.push(packet(sequence + 1, ssrc=ssrc), 2)
    assert [(one.packet.sequence, one.arrival_ns, one.restarted) for one in ordered] == [
        (sequence, 1, True),
        (sequence + 1, 2, False),
    ]
    assert impatient.ssrc == ssrc
    assert impatient.counts.lost == 0


def test_losses_of_the_sender_before_are_forgotten(impatient: Sequencer) -> None:
    """A number that one sender lost is not late when the next one sends it twice."""
    push_numbers(impatient, [10, 12])
    for sequence in (10, 11, 11):
        impatient.push(packet(sequence, ssrc=8), 0)
    assert (impatient.counts.late, impatient.counts.duplicates) == (0, 1)


def test_a_new_sender_does_not_swallow_what_waits(patient: Sequencer) -> None:
    """Packets that wait behind a gap are given back before the new sender's."""
    push_numbers(patient, [10, 12])
    patient.push(packet(500, ssrc=8), 0)
    assert numbers(patient.push(packet(501, ssrc=8), 0)) == [12, 500, 501]


def test_other_payload_types_and_garbage_are_counted(impatient: Sequencer) -> None:
    """Packets of other streams and other bytes pass by."""
    push_numbers(impatient, [10])
    assert impatient.push(packet(11, payload_type=97), 0) == []
    assert impatient.push(b"\x24\x00\x00", 0) == []
    assert impatient.push(b"", 0) == []
    assert numbers(push_numbers(impatient, [11])) == [11]
    assert (impatient.counts.other, impatient.counts.garbage) == (1, 2)


def test_flush_gives_what_waits(patient: Sequencer) -> None:
    """At the end nothing is kept back."""
    push_numbers(patient, [1, 3, 6])
    assert [(one.packet.sequence, one.lost_before) for one in patient.flush()] == [(3, 1), (6, 2)]
    assert patient.next_poll_ns() is None


def test_reports_count_as_the_standard_says(impatient: Sequencer) -> None:
    """Before the first packet there is nothing to report; afterwards losses in 256ths since the last report."""
    assert impatient.reception_report() is None
    push_numbers(impatient, [0, 1, 2, 4])
    report = impatient.reception_report()
    assert report is not None
    assert (report.ssrc, report.fraction_lost, report.cumulative_lost) == (SSRC, 256 // 5, 1)


@given(seed=st.integers(0, 2**32), first=st.integers(0, 65_535), span=st.integers(1, 40), loss=st.floats(0, 0.5))
def test_any_network(seed: int, first: int, span: int, loss: float) -> None:
    """Under any displacement, loss and doubling: strictly in order, each once, and what is missing is counted.

    Four packets come each millisecond; a displaced one is at most `span` places late, within the window.
    """
    chance = random.Random(seed)
    total = 200
    kept = [number for number in range(total) if number == 0 or chance.random() >= loss]
    arrivals = sorted((number + (chance.random() * span if number else -1), number) for number in kept)
    doubled = [number for _, number in arrivals for _ in range(1 + (chance.random() < 0.1))]
    sequencer = Sequencer(payload_type=96, reorder_ns=WINDOW_NS)
    ordered: list[Ordered] = []
    for moment, number in enumerate(doubled):
        ordered += sequencer.push(packet(first + number), moment * NS_PER_MS // 4)
    ordered += sequencer.flush()
    assert numbers(ordered) == [(first + number) & 0xFFFF for number in kept]
    assert sum(one.lost_before for one in ordered) == sequencer.counts.lost == max(kept) + 1 - len(kept)
    assert sequencer.counts.duplicates == len(doubled) - len(kept)
    assert sequencer.counts.received == len(kept)
