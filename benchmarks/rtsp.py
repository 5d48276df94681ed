"""Measure live capture over RTSP/TCP from loopback: age from the camera's send log to the publishing of the answer.

Usage: python benchmarks/rtsp.py [--seconds 60] [--only 18/100] [--client own]

The camera is a process of its own (rtsp_server.py) and serves the clip of live.py, 720p at 30 fps, in real time. It
notes when the last byte of each picture was handed to its socket, on the clock that the records are in. The line
`client` reads and decodes pictures numbered in their pixels, with nothing else around, by our own client and by
FFmpeg's demuxer: how long from sending to the decoded picture, and how much processor time reading takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from live import FPS, StandInOptions, burning, make_clip
from picture_number import read_number
from rich.console import Console

from pipeline.cli.run import execute
from pipeline.clock import RealClock
from pipeline.config.build import build
from pipeline.config.load import parse
from pipeline.frame import Mode
from pipeline.report import Report
from pipeline.testing import open_context
from stages.capture.video import VideoOptions, VideoSource
from stages.decode.video import DecodeOptions, VideoDecoder

SERVER = Path(__file__).with_name("rtsp_server.py")
LOADS = ("18/100", "64/100", "model/100", "18/100+burn", "64/100+burn")


@contextlib.contextmanager
def camera(log: Path, *arguments: str) -> Iterator[str]:
    """Run a camera on a free port; gives its URL."""
    command = [sys.executable, str(SERVER), "--port", "0", "--log", str(log), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def sent_ns(log: Path, column: int) -> dict[int, list[int]]:
    """Return when pictures were sent, by time stamp (column 0) or number (column 1)."""
    sent: dict[int, list[int]] = {}
    for line in log.read_text().splitlines():
        words = line.split()
        if len(words) == 3:
            sent.setdefault(int(words[column]), []).append(int(words[2]))
    return sent


def measure(load: str, clip: Path, seconds: float, folder: Path, client: str) -> tuple[Report, list[float], int]:
    """Run one load; return the report, the ages of fresh answers from the send log in ms, and how many were sent."""
    what, _, rest = load.partition("/")
    deadline, _, burn = rest.partition("+")
    detector: object = "detect"
    if what != "model":
        options = StandInOptions(service_ms=float(what))
        detector = {"kind": "live:StandIn", "name": "detect", **options.model_dump()}
    log, answers = folder / "sent.log", folder / "answers.jsonl"
    with camera(log, "--clip", str(clip)) as url:
        source = {"kind": "video", "url": url, "client": client, "duration": f"{seconds:g}s"}
        config = parse(
            {
                "source": source,
                "deadline": f"{deadline}ms",
                "stages": ["preprocess", detector, "track"],
                "sinks": [f"jsonl:{answers}"],
            }
        )
        with burning(os.cpu_count() or 1) if burn else contextlib.nullcontext():
            report = execute(build(config), Console(quiet=True), quiet=True).whole()
    sent = sent_ns(log, 0)
    ages = []
    for line in answers.read_text().splitlines():
        record = json.loads(line)
        if record["frame"] is None or record["status"] != "fresh":
            continue
        stamp = round(record["pts_s"] * 90_000) & 0xFFFFFFFF
        if stamp in sent:
            ages.append(record["published_s"] * 1000 - sent[stamp][0] / 1e6)
    return report, ages, len(sent)


def client_alone(client: str, seconds: float, folder: Path) -> str:
    """Read and decode; return a line about delay and processor time."""
    log = folder / "sent.log"
    decoded: list[tuple[int, int]] = []
    read_cpu = decode_cpu = 0
    with camera(log) as url:
        context = open_context(RealClock(), mode=Mode.LIVE)
        source, decoder = VideoSource(VideoOptions(url=url, client=client)), VideoDecoder(DecodeOptions(threads=1))
        source.open(context)
        decoder.open(context)
        for ticket in range(int(seconds * FPS)):
            start_ns = time.thread_time_ns()
            sample = source.read()
            middle_ns = time.thread_time_ns()
            assert sample is not None
            pictures = [] if sample.payload is None else decoder.decode(sample.payload, ticket)
            now_ns = time.monotonic_ns()
            end_ns = time.thread_time_ns()
            read_cpu, decode_cpu = read_cpu + middle_ns - start_ns, decode_cpu + end_ns - middle_ns
            decoded += [(read_number(picture.payload.bgr()), now_ns) for picture in pictures]
        source.close()
    sent = sent_ns(log, 1)
    # The camera may note the time of sending late, when its process is not run: the nearest is the right one.
    delays = [min((now_ns - at for at in sent[number]), key=abs) / 1e6 for number, now_ns in decoded]
    p50, p99 = np.percentile(delays, (50, 99))
    count = len(decoded)
    return (
        f"client {client:7} {count} pictures, sent to decoded p50 {p50:.1f} p99 {p99:.1f} ms; processor per picture: "
        f"reading {read_cpu / count / 1e6:.2f} ms, decoding {decode_cpu / count / 1e6:.2f} ms"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each load")
    parser.add_argument("--only", action="append", help="SERVICE/DEADLINE[+burn], model/DEADLINE or client; repeatable")
    parser.add_argument("--client", choices=["own", "ffmpeg"], default="own")
    parser.add_argument("--gop", type=int, default=FPS, help="frames from one key picture to the next, at most 300")
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "framepace-bench"
    folder.mkdir(exist_ok=True)
    clip = folder / f"720p30-10s-gop{arguments.gop}.mp4"
    if not clip.exists():
        make_clip(clip, 10, arguments.gop)
    for load in arguments.only or ("client", *LOADS):
        if load == "client":
            for client in ("own", "ffmpeg"):
                print(client_alone(client, min(20.0, arguments.seconds), folder), flush=True)
            continue
        report, ages, count = measure(load, clip, arguments.seconds, folder, arguments.client)
        frames = report.frames
        p50, p99 = np.percentile(ages, (50, 99)) if ages else (float("nan"), float("nan"))
        print(
            f"{load:12} {count} sent, {frames.captured} captured: {frames.fresh} fresh {frames.forecast} forecast "
            f"{frames.blind} blind {frames.missed} missed {frames.undecodable} undecodable, "
            f"{report.published_late} late; "
            f"fresh age from the send log p50 {p50:.1f} p99 {p99:.1f} max {max(ages, default=0):.1f} ms; "
            f"cpu {report.cpu_s / report.duration_s:.2f} cores, {report.peak_rss_mib:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
