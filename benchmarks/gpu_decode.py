"""Part c: H.264 decoding of many streams, by the GPU's decoders (NVDEC) and in software."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gpu_journal import Journal, Skipped, error_text, spread_ms
from gpu_session import CLIP, Provider

SIZE_PX = (1920, 1080)
CLIP_FRAMES = 90
FPS = 30
STREAMS = (1, 8, 32, 16, 4)
Kind = Literal["nvdec", "nvdec-device", "software"]
_OPTIONS = {"preset": "veryfast", "bf": "0", "x264-params": "sliced-threads=0", "b": "8M"}
"""As cameras encode: no B-frames, one slice a picture, 8 Mbit/s."""
_JOIN_S = 10.0
_DECODER_NAMES: dict[Kind, str] = {
    "nvdec": "GPU, pictures copied to the CPU",
    "nvdec-device": "GPU, pictures stay there",
    "software": "one thread a stream",
}


@dataclass
class Stream:
    """What became of one stream."""

    decoded: int = 0
    waits_ns: list[int] = field(default_factory=list)
    """From sending an access unit to its picture."""
    format: str = ""
    error: str | None = None


def part_c(journal: Journal, provider: Provider, folder: Path, *, seconds: float, streams: tuple[int, ...]) -> None:
    """Pictures a second flat out, and waiting times at the streams' own rate."""
    journal.row("hardware decoding", lambda: hardware(provider))
    clip = folder / "1080p30.mp4"
    journal.row("clip", lambda: _clip_facts(clip), needs_s=10)
    kinds: tuple[Kind, ...] = ("nvdec", "nvdec-device", "software") if provider == "cuda" else ("software",)
    if provider == "cuda":
        journal.row("nvdec by av.open", partial(by_container, clip), needs_s=5)
    for count in streams:
        for paced in (False, True):
            for kind in kinds:
                name = f"{kind} x{count} {'30 fps each' if paced else 'flat out'}"
                journal.row(name, partial(decode, kind, clip, count, seconds, paced=paced), needs_s=seconds + 3)


def hardware(provider: Provider) -> Mapping[str, Any]:
    """Return what PyAV knows of hardware."""
    av = _av()
    from av.codec.hwaccel import hwdevices_available

    if provider == "cuda" and "cuda" not in hwdevices_available():
        raise RuntimeError(f"PyAV {av.__version__} knows only {hwdevices_available()}")
    return {"av": av.__version__, "devices": hwdevices_available(), "kinds": _DECODER_NAMES}


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise Skipped(f"PyAV is missing: {error}") from error
    return av


def make_clip(path: Path, frames: int = CLIP_FRAMES) -> Path:
    """Write the shipped clip as 1080p H.264 unless it is there already."""
    av = _av()
    from stages.bench.clip import encode

    if not path.exists():
        partial = path.with_suffix(".part.mp4")
        with av.open(str(CLIP)) as source:
            encode(itertools.islice(source.decode(video=0), frames), partial, size=SIZE_PX, options=_OPTIONS)
        partial.rename(path)
    return path


def _clip_facts(path: Path) -> Mapping[str, Any]:
    make_clip(path)
    rate = path.stat().st_size * 8 * FPS / CLIP_FRAMES
    return {"mbit_per_s": round(rate / 1e6, 2), "frames": CLIP_FRAMES, "size": SIZE_PX}


def by_container(clip: Path) -> Mapping[str, Any]:
    """Decode the clip in the way that PyAV's manual shows, beside which our own can be checked."""
    av = _av()
    from av.codec.hwaccel import HWAccel

    begun = time.perf_counter()
    with av.open(str(clip), hwaccel=HWAccel("cuda", allow_software_fallback=False)) as container:
        formats = [picture.format.name for picture in container.decode(video=0)]
        used = container.streams.video[0].codec_context.is_hwaccel
    took = time.perf_counter() - begun
    return {"pictures": len(formats), "format": formats[-1], "is_hwaccel": used, "with_opening_s": round(took, 3)}


def decode(kind: Kind, clip: Path, count: int, seconds: float, *, paced: bool) -> Mapping[str, Any]:
    """Decode `count` streams in threads of their own and return what they did together.

    The time for opening the decoders and for the first pictures does not count.
    """
    _av()
    streams = [Stream() for _ in range(count)]
    together = threading.Barrier(count + 1)
    over = threading.Event()
    threads = [
        threading.Thread(
            target=_follow,
            args=(kind, make_clip(clip), stream, together, over, place / (count * FPS) if paced else None),
            daemon=True,  # a decoder that hangs must not keep the program
        )
        for place, stream in enumerate(streams)
    ]
    for thread in threads:
        thread.start()
    try:
        together.wait(_JOIN_S + count)
    except threading.BrokenBarrierError:
        told = sorted({stream.error for stream in streams if stream.error})
        raise RuntimeError("; ".join(told) or "the decoders did not open in time") from None
    begun, cpu = time.perf_counter(), time.process_time()
    over.wait(seconds)
    over.set()
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    decoded = sum(stream.decoded for stream in streams)  # what is decoded after the end is told apart by `over`
    for thread in threads:
        thread.join(_JOIN_S / 4)
    waits = [wait for stream in streams for wait in stream.waits_ns]
    return {
        "pictures_per_s": round(decoded / took, 1),
        **spread_ms(waits),
        "cpu_ms_per_picture": round(cpu * 1e3 / max(1, decoded), 3),
        "cores": os.cpu_count(),
        "format": next((stream.format for stream in streams if stream.format), ""),
        "failed": sorted({stream.error for stream in streams if stream.error}),
        "hanging": sum(thread.is_alive() for thread in threads),
    }


def _follow(
    kind: Kind, clip: Path, stream: Stream, together: threading.Barrier, over: threading.Event, phase_s: float | None
) -> None:
    """Decode the clip again and again; in a thread of its own."""
    try:
        context, units = _open(kind, clip)
        for unit in units[:3]:
            context.decode(unit)
        together.wait(_JOIN_S + together.parties)
        _decode_paced(context, units[3:] + units[:3], stream, over, phase_s)
    except threading.BrokenBarrierError:
        return
    except Exception as error:
        stream.error = error_text(error)
        together.abort()


def _open(kind: Kind, clip: Path) -> tuple[Any, list[Any]]:
    """Return a decoder and the clip's access units."""
    av = _av()
    from av.codec.hwaccel import HWAccel

    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        extradata = video.codec_context.extradata
        units = [packet for packet in container.demux(video) if packet.size]
    if kind == "software":
        context = av.CodecContext.create("h264", "r")
        context.thread_count = 1
    else:
        owned = kind == "nvdec-device"
        # One context of CUDA for all decoders, and for detection.
        hwaccel = HWAccel("cuda", allow_software_fallback=False, options={"primary_ctx": "1"}, is_hw_owned=owned)
        context = av.CodecContext.create("h264", "r", hwaccel=hwaccel)
    context.extradata = extradata
    context.flags |= av.codec.context.Flags.low_delay
    return context, units


def _decode_paced(context: Any, units: list[Any], stream: Stream, over: threading.Event, phase_s: float | None) -> None:
    """Send unit after unit until it is over; at the clip's rate from a phase on, or flat out."""
    begun = time.perf_counter() + (phase_s or 0.0)
    sent_ns: dict[int, int] = {}
    for turn, unit in enumerate(itertools.cycle(units)):
        if phase_s is not None:
            over.wait(max(0.0, begun + turn / FPS - time.perf_counter()))
        if over.is_set():
            return
        sent_ns[unit.pts] = time.perf_counter_ns()
        for picture in context.decode(unit):
            now_ns = time.perf_counter_ns()
            stream.format = picture.format.name
            if over.is_set():
                return
            stream.decoded += 1
            if (sent := sent_ns.pop(picture.pts, None)) is not None:
                stream.waits_ns.append(now_ns - sent)
