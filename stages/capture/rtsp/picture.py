"""The picture that is being put together, the parameter sets it needs, and whether it can be decoded."""

from __future__ import annotations

from collections.abc import Iterable

from stages.capture.rtsp.nal import MAX_SET_BYTES, Depacketizer, Nal, NalFacts, units_in

MAX_UNIT_BYTES = 16 << 20
"""What one picture may take; the rest of a larger one is dropped."""
MAX_SETS = 16
"""Parameter sets that are kept; the oldest makes room."""
_START_CODE = b"\x00\x00\x00\x01"


class ParameterSets:
    """The newest parameter set of each type and id.

    Args:
        depacketizer: knows the sets.
        nals: sets announced beforehand, without start codes; anything else is passed over.
    """

    def __init__(self, depacketizer: Depacketizer, nals: Iterable[bytes]) -> None:
        self._needed = depacketizer.sets_needed
        self._sets: dict[tuple[int, int], bytes] = {}
        for unit in (unit.data for nal in nals for unit in units_in(Nal(nal))):
            if len(unit) > 2:
                self.keep(depacketizer.facts(unit).parameter_set, unit)

    def keep(self, key: tuple[int, int] | None, nal: bytes) -> None:
        """Keep a set under its (type, id), if it has one."""
        if key is None or len(nal) > MAX_SET_BYTES:
            return
        self._sets.pop(key, None)
        if len(self._sets) >= MAX_SETS:
            del self._sets[next(iter(self._sets))]
        self._sets[key] = nal

    @property
    def is_complete(self) -> bool:
        """Whether each type that decoding needs is there."""
        return self._needed <= {kind for kind, _ in self._sets}

    def missing_from(self, keys: set[tuple[int, int]]) -> bytes:
        """Return the sets that are not among these, Annex B, in the order of their types."""
        return b"".join(_START_CODE + nal for key, nal in sorted(self._sets.items()) if key not in keys)


class Picture:
    """Collects the NAL units of one picture."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.set_keys: set[tuple[int, int]] = set()
        self.timestamp = 0
        self.epoch = 0
        self.arrival_ns = 0
        self.packets = 0
        self.lost_before = 0
        """Packets missing between the picture before and this one, not known to be of either."""
        self.is_incomplete = False
        """Something of it is missing or unreadable."""
        self.has_slice = False
        self.starts_picture = False
        """Its first slice is there."""
        self.is_random_access = False
        self.is_closed = False
        self.is_disposable = False
        self.is_decodable_leading = False
        self._is_full = False

    @property
    def exists(self) -> bool:
        """Whether there is a picture at all, and not only what goes before one."""
        return self.has_slice or self.is_incomplete

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, as far as the picture itself can show."""
        return self.starts_picture and not self.is_incomplete

    def count_packet(self, timestamp: int, epoch: int, arrival_ns: int) -> None:
        """Note that a packet of this picture, or of what goes before it, arrived."""
        self.packets += 1
        self.timestamp, self.epoch = timestamp, epoch
        self.arrival_ns = max(self.arrival_ns, arrival_ns)

    def add(self, nal: Nal, facts: NalFacts) -> None:
        """Take one more NAL unit."""
        if facts.is_slice:
            if not self.has_slice:
                self.starts_picture = facts.starts_picture
            self.has_slice = True
            self.is_disposable = facts.is_disposable
            self.is_decodable_leading = facts.is_decodable_leading
        self.is_random_access |= facts.is_random_access
        self.is_closed |= facts.is_closed
        if len(self.data) + len(_START_CODE) + len(nal.data) > MAX_UNIT_BYTES:
            self._is_full = True
            self.data.clear()
        if self._is_full or not nal.is_whole:
            self.is_incomplete = True
            return
        self.data += _START_CODE
        self.data += nal.data
        if facts.parameter_set is not None:
            self.set_keys.add(facts.parameter_set)


class ReferenceChain:
    """Tells which pictures can be decoded, by what was lost before them.

    From a loss up to the next random access picture everything counts as damaged, unless the loss is known to lie
    in pictures that no other refers to. Where the random access picture is open (CRA, recovery point), the pictures
    that are sent after it but shown before it still refer to what was lost.
    """

    def __init__(self) -> None:
        self._is_broken = True
        self._leading_before: int | None = None

    def break_off(self) -> None:
        """Note that pictures may be missing."""
        self._is_broken = True

    def forget_times(self) -> None:
        """Note that time stamps begin anew."""
        self._leading_before = None

    def is_damaged(self, picture: Picture, *, is_key: bool) -> bool:
        """Take the next picture; return whether it is not worth decoding."""
        only_its_head_is_lost = picture.lost_before == 1 and picture.has_slice and not picture.starts_picture
        if picture.lost_before and not only_its_head_is_lost:
            self._is_broken = True
        if is_key:
            self._leading_before = picture.timestamp if self._is_broken and not picture.is_closed else None
            self._is_broken = False
        refers_to_lost = self._is_broken or (self._leads(picture.timestamp) and not picture.is_decodable_leading)
        if not picture.is_whole and not picture.is_disposable:
            self._is_broken = True
        return refers_to_lost or not picture.is_whole

    def _leads(self, timestamp: int) -> bool:
        if self._leading_before is None or timestamp == self._leading_before:
            return False
        if timestamp > self._leading_before:
            self._leading_before = None
            return False
        return True
