"""H.264 in RTP (RFC 6184): single NAL units, STAP-A and FU-A, which is all that packetization modes 0 and 1 have."""

from __future__ import annotations

from stages.capture.rtsp.nal import (
    Depacketizer,
    MalformedPayload,
    Nal,
    NalFacts,
    aggregated,
    exp_golomb,
    has_recovery_point,
    without_emulation_prevention,
)

_SLICE, _PARTITION_A, _PARTITION_C, _IDR, _SEI, _SPS, _PPS = 1, 2, 4, 5, 6, 7, 8
"""nal_unit_type, H.264 table 7-1."""
_LAST_NAL = 23
_STAP_A, _FU_A = 24, 28
"""RFC 6184 table 1."""
_ID_BYTES = 16
"""The id of a parameter set lies within its first bytes."""


class H264Depacketizer(Depacketizer):
    """Payloads to NAL units; interleaved packetization (mode 2) is not understood."""

    sets_needed = frozenset({_SPS, _PPS})

    def nals(self, payload: bytes) -> list[Nal]:
        kind = _kind(payload)
        if kind == _FU_A:
            return self._fu_a(payload)
        units = aggregated(payload[1:]) if kind == _STAP_A else (payload,)
        nals = [Nal(_checked(unit)) for unit in units]
        return self.finish() + nals

    def _fu_a(self, payload: bytes) -> list[Nal]:
        if len(payload) < 3:
            raise MalformedPayload("FU-A without data")
        header = _checked(bytes([payload[0] & 0xE0 | payload[1] & 0x1F]))
        starts, ends = bool(payload[1] & 0x80), bool(payload[1] & 0x40)
        return self._fragment(header, payload[2:], starts=starts, ends=ends)

    def is_known(self, nal: bytes) -> bool:
        return not nal[0] & 0x80 and 1 <= _kind(nal) <= _LAST_NAL

    def facts(self, nal: bytes) -> NalFacts:
        kind = _kind(nal)
        if _SLICE <= kind <= _IDR:
            # first_mb_in_slice, the first number of a slice header, is 0 when its first bit is set.
            first = len(nal) > 1 and bool(nal[1] & 0x80) and not _PARTITION_A < kind <= _PARTITION_C
            idr = kind == _IDR
            return NalFacts(
                is_slice=True,
                starts_picture=first,
                is_random_access=idr,
                is_closed=idr,
                is_disposable=not nal[0] & 0x60,
            )
        if kind == _SEI:
            return NalFacts(is_random_access=has_recovery_point(nal[1:]))
        if kind in (_SPS, _PPS):
            return NalFacts(parameter_set=_set_key(kind, nal))
        return NalFacts()


def _kind(nal: bytes) -> int:
    return nal[0] & 0x1F


def _checked(nal: bytes) -> bytes:
    """Return a NAL unit whose header can be one."""
    if nal[0] & 0x80:
        raise MalformedPayload("not an H.264 NAL unit")
    return nal


def _set_key(kind: int, nal: bytes) -> tuple[int, int] | None:
    # The id of a sequence parameter set follows profile, constraints and level, one byte each.
    start = 4 if kind == _SPS else 1
    number = exp_golomb(without_emulation_prevention(nal[: start + _ID_BYTES]), 8 * start)
    return None if number is None else (kind, number)
