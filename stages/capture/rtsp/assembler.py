"""RTP packets to access units, each as soon as its last packet is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from stages.capture.rtsp.h264 import H264Depacketizer
from stages.capture.rtsp.h265 import H265Depacketizer
from stages.capture.rtsp.nal import MalformedPayload, Nal, units_in
from stages.capture.rtsp.ordering import Ordered, Sequencer
from stages.capture.rtsp.picture import ParameterSets, Picture, ReferenceChain
from stages.capture.rtsp.rtp import ReceptionReport, TimeLine
from stages.capture.rtsp.units import AccessUnit

_UNMARKED_PICTURES = 5
"""So many whole pictures in a row without a marker: this sender sets none."""
_SPLIT_PICTURES = 3
"""So many markers in the middle of a picture: this sender's markers mean nothing."""


@dataclass(frozen=True, slots=True)
class AssemblerStatistics:
    """What became of the packets; each one pushed is in exactly one of the first five, or kept until the next."""

    received: int
    """Packets taken into the order, or waiting for it."""
    duplicates: int
    late: int
    """Packets that came after they had been given up."""
    other: int
    """Packets of another payload type, or stray ones of another sender."""
    garbage: int
    """What was no RTP packet."""
    lost: int
    """Packets given up."""
    reordered: int
    """Of those received: put back into their place."""
    malformed: int
    """Of those received: the payload breaks its format."""
    units: int
    """Access units returned."""
    damaged: int
    """Of those: not worth decoding."""
    unmarked: int
    """Of those: whole, but only shown to be by the next picture's packets."""
    markerless: bool
    """The sender's markers are missing or wrong: each picture waits for the next one's first packet."""


class Assembler:
    """Cuts one video stream into access units. Sans-I/O; memory is bounded whatever is pushed.

    A picture ends with the packet that carries the marker bit, or, where a sender sets none, with the first packet
    of another time stamp. Pictures that cannot be decoded are returned as well, marked as damaged, so that they can
    be counted; a picture whose packets are all lost is not known of.

    Args:
        codec: what the payloads are.
        payload_type: RTP payload type of the stream; other packets are dropped.
        parameter_sets: NAL units from the session description, without start codes.
        reorder_ns: how long to wait for a packet that others overtook.
    """

    def __init__(
        self,
        codec: Literal["h264", "hevc"],
        *,
        payload_type: int,
        parameter_sets: Sequence[bytes] = (),
        reorder_ns: int = 0,
    ) -> None:
        self._depacketizer = H264Depacketizer() if codec == "h264" else H265Depacketizer()
        self._sequencer = Sequencer(payload_type=payload_type, reorder_ns=reorder_ns)
        self._sets = ParameterSets(self._depacketizer, parameter_sets)
        self._chain = ReferenceChain()
        self._time = TimeLine()
        self._picture = Picture()
        self._markers = _Markers()
        self._malformed = 0
        self._units = 0
        self._damaged = 0

    @property
    def ssrc(self) -> int | None:
        """The sender that is listened to; None before its first packet."""
        return self._sequencer.ssrc

    def push(self, packet: bytes, arrival_ns: int) -> list[AccessUnit]:
        """Take a packet as it came from the network; return the units that it completes. Never raises."""
        return self._place(self._sequencer.push(packet, arrival_ns))

    def poll(self, now_ns: int) -> list[AccessUnit]:
        """Give up packets that were waited for long enough; return the units that this completes."""
        return self._place(self._sequencer.poll(now_ns))

    def next_poll_ns(self) -> int | None:
        """Return when to poll if no packet comes before; None: no need to."""
        return self._sequencer.next_poll_ns()

    def flush(self) -> list[AccessUnit]:
        """End the stream: return the unfinished picture, marked as damaged, since it may have been cut off."""
        units = self._place(self._sequencer.flush())
        self._collect(self._depacketizer.drop())
        self._picture.is_incomplete |= self._picture.has_slice
        return units + self._end_picture(by_marker=False)

    def reception_report(self) -> ReceptionReport | None:
        """Return what a receiver report says about the time since the last call; None before the first packet."""
        return self._sequencer.reception_report()

    def statistics(self) -> AssemblerStatistics:
        """Return the counts since the beginning."""
        counts = self._sequencer.counts
        return AssemblerStatistics(
            received=counts.received,
            duplicates=counts.duplicates,
            late=counts.late,
            other=counts.other,
            garbage=counts.garbage,
            lost=counts.lost,
            reordered=counts.reordered,
            malformed=self._malformed,
            units=self._units,
            damaged=self._damaged,
            unmarked=self._markers.unmarked,
            markerless=self._markers.are_useless,
        )

    def _place(self, packets: list[Ordered]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for ordered in packets:
            units += self._add(ordered)
        return units

    def _add(self, ordered: Ordered) -> list[AccessUnit]:
        """Take the next packet in order; return the picture that it shows to be over, and the one that it ends."""
        packet, lost = ordered.packet, ordered.lost_before
        units = self._break_off() if ordered.restarted else []
        if lost:
            self._collect(self._depacketizer.drop())
        epoch = self._time.epoch
        if self._time.advance(packet, ordered.arrival_ns):
            if lost and self._picture.exists:
                self._picture.is_incomplete = True
                # The marker was to come: a single lost packet was the one that carried it.
                lost = 0 if lost == 1 and self._markers.are_reliable else lost
            units += self._end_picture(by_marker=False)
            self._picture.lost_before += lost
            if epoch != self._time.epoch:
                self._chain.forget_times()
        elif lost and self._picture.packets:
            self._picture.is_incomplete = True
        else:
            self._picture.lost_before += lost
        self._picture.count_packet(self._time.timestamp, self._time.epoch, ordered.arrival_ns)
        self._read(packet.payload)
        if packet.marker and self._markers.are_trusted:
            units += self._end_picture(by_marker=True)
        return units

    def _break_off(self) -> list[AccessUnit]:
        """End what came from the sender before."""
        self._collect(self._depacketizer.drop())
        self._picture.is_incomplete |= self._picture.has_slice
        units = self._end_picture(by_marker=False)
        self._picture = Picture()
        self._chain.break_off()
        self._markers = _Markers(self._markers.unmarked)
        return units

    def _read(self, payload: bytes) -> None:
        if not payload:
            return
        try:
            nals = self._depacketizer.nals(payload)
        except MalformedPayload:
            self._malformed += 1
            self._picture.is_incomplete = True
            nals = self._depacketizer.drop()
        self._collect(nals)

    def _collect(self, nals: list[Nal]) -> None:
        for nal in chain.from_iterable(map(units_in, nals)):
            if not self._depacketizer.is_known(nal.data):
                continue  # a maker's own, or one that a later edition of the standard added: no part of the picture
            facts = self._depacketizer.facts(nal.data)
            if nal.is_whole:
                self._sets.keep(facts.parameter_set, nal.data)
            self._picture.add(nal, facts)

    def _end_picture(self, *, by_marker: bool) -> list[AccessUnit]:
        """Return the picture under way as a unit; what there is without a picture goes before the next one."""
        self._collect(self._depacketizer.finish())
        picture = self._picture
        if not picture.exists:
            return []
        self._picture = Picture()
        self._markers.count(picture, by_marker=by_marker)
        is_key = picture.is_random_access and picture.is_whole and self._sets.is_complete
        is_damaged = self._chain.is_damaged(picture, is_key=is_key)
        self._units += 1
        self._damaged += is_damaged
        prefix = self._sets.missing_from(picture.set_keys) if is_key else b""
        return [
            AccessUnit(
                data=prefix + picture.data,
                timestamp=picture.timestamp,
                epoch=picture.epoch,
                key=is_key,
                damaged=is_damaged,
                arrival_ns=picture.arrival_ns,
                ended_by_marker=by_marker,
            )
        ]


class _Markers:
    """Learns what one sender's marker bits are worth."""

    def __init__(self, unmarked: int = 0) -> None:
        self.unmarked = unmarked
        """Whole pictures without a marker, of senders before too."""
        self._unmarked_before = unmarked
        self._unmarked_in_a_row = 0
        self._marked = 0
        self._split = 0
        self._last_marked: tuple[int, int] | None = None

    @property
    def are_trusted(self) -> bool:
        """Whether a marker ends a picture."""
        return self._split < _SPLIT_PICTURES

    @property
    def are_reliable(self) -> bool:
        """Whether each picture so far ended with a marker."""
        return self._marked > 0 and not self._split and self.unmarked == self._unmarked_before

    @property
    def are_useless(self) -> bool:
        """Whether only the next picture's packets show that a picture is over."""
        return not self.are_trusted or self._unmarked_in_a_row >= _UNMARKED_PICTURES

    def count(self, picture: Picture, *, by_marker: bool) -> None:
        """Learn from a picture that ended."""
        time = (picture.epoch, picture.timestamp)
        if by_marker:
            # Nothing is missing, and yet it is the rest of the picture that the marker before pretended to end.
            self._split += (
                time == self._last_marked
                and picture.has_slice
                and not (picture.starts_picture or picture.is_incomplete or picture.lost_before)
            )
            self._marked += 1
            self._unmarked_in_a_row = 0
            self._last_marked = time
        elif not picture.is_incomplete:
            self.unmarked += 1
            self._unmarked_in_a_row += 1
