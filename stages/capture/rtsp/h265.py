"""H.265 in RTP (RFC 7798): single NAL units, aggregation packets and fragmentation units."""

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

_FIRST_IRAP, _LAST_IRAP, _FIRST_IDR, _LAST_IDR, _LAST_SLICE = 16, 23, 19, 20, 31
_LAST_NON_REFERENCE = 14
_RADL = (6, 7)
_VPS, _SPS, _PPS, _PREFIX_SEI = 32, 33, 34, 39
"""nal_unit_type, H.265 table 7-1."""
_LAST_NAL = 47
_AP, _FU = 48, 49
"""RFC 7798 section 4.4."""
_ID_BYTES = 128
"""The id of a parameter set lies within its first bytes: profiles of 7 sub-layers take 12 + 2 + 84 of them."""
_PROFILE_BITS, _LEVEL_BITS = 88, 8
"""Of profile_tier_level (H.265 7.3.3)."""


class H265Depacketizer(Depacketizer):
    """Payloads to NAL units; with DONL fields (sprop-max-don-diff above 0) they are not understood."""

    sets_needed = frozenset({_SPS, _PPS})

    def __init__(self) -> None:
        super().__init__()
        self._highest_sub_layer = 0

    def nals(self, payload: bytes) -> list[Nal]:
        kind = _kind(payload)
        if kind == _FU:
            return self._fu(payload)
        units = aggregated(payload[2:]) if kind == _AP else (payload,)
        nals = [Nal(_checked(unit)) for unit in units]
        return self.finish() + nals

    def _fu(self, payload: bytes) -> list[Nal]:
        if len(payload) < 4:
            raise MalformedPayload("FU without data")
        header = _checked(bytes([payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]]))
        starts, ends = bool(payload[2] & 0x80), bool(payload[2] & 0x40)
        return self._fragment(header, payload[3:], starts=starts, ends=ends)

    def is_known(self, nal: bytes) -> bool:
        return len(nal) > 1 and not nal[0] & 0x80 and _kind(nal) <= _LAST_NAL and bool(nal[1] & 0x07)

    def facts(self, nal: bytes) -> NalFacts:
        kind = _kind(nal)
        if nal[0] & 0x01 or nal[1] >> 3:
            return NalFacts()  # another layer (scalable or multiview), which plain decoders pass over
        if kind <= _LAST_SLICE:
            return self._slice(kind, nal)
        if kind == _PREFIX_SEI:
            return NalFacts(is_random_access=has_recovery_point(nal[2:]))
        if kind in (_VPS, _SPS, _PPS):
            return NalFacts(parameter_set=_set_key(kind, nal))
        return NalFacts()

    def _slice(self, kind: int, nal: bytes) -> NalFacts:
        # Even types up to 14 are not referred to within their own temporal sub-layer, but may be from higher ones.
        sub_layer = nal[1] & 0x07
        self._highest_sub_layer = max(self._highest_sub_layer, sub_layer)
        unreferred = kind <= _LAST_NON_REFERENCE and kind % 2 == 0
        return NalFacts(
            is_slice=True,
            starts_picture=len(nal) > 2 and bool(nal[2] & 0x80),  # first_slice_segment_in_pic_flag
            is_random_access=_FIRST_IRAP <= kind <= _LAST_IRAP,
            is_closed=_FIRST_IDR <= kind <= _LAST_IDR,
            is_disposable=unreferred and sub_layer == self._highest_sub_layer,
            is_decodable_leading=kind in _RADL,
        )


def _kind(nal: bytes) -> int:
    return nal[0] >> 1 & 0x3F


def _checked(nal: bytes) -> bytes:
    """Return a NAL unit whose header can be one."""
    if len(nal) < 2 or nal[0] & 0x80:
        raise MalformedPayload("not an H.265 NAL unit")
    return nal


def _set_key(kind: int, nal: bytes) -> tuple[int, int] | None:
    data = without_emulation_prevention(nal[:_ID_BYTES])[2:]
    if kind == _VPS:
        return (kind, data[0] >> 4) if data else None
    number = exp_golomb(data, 0 if kind == _PPS else _sps_id_bit(data))
    return None if number is None else (kind, number)


def _sps_id_bit(data: bytes) -> int:
    """Return where the id of a sequence parameter set begins: behind the profiles of all its sub-layers."""
    sub_layers = data[0] >> 1 & 0x07 if data else 0
    bit = 8 + _PROFILE_BITS + _LEVEL_BITS
    if not sub_layers:
        return bit
    flags = int.from_bytes(data[bit // 8 : bit // 8 + 2])
    for layer in range(sub_layers):
        pair = flags >> (14 - 2 * layer)
        bit += _PROFILE_BITS * (pair >> 1 & 1) + _LEVEL_BITS * (pair & 1)
    return bit + 16
