"""Measure what a GPU does for framepace: is it used, is it right, how fast are detection, decoding and the program?

Usage: python benchmarks/gpu.py [--part a --part b ...] [--minutes 7] [--output FILE] [--provider cuda|cpu]
       python benchmarks/gpu.py --make-models FOLDER

    a   versions, the provider in use, answers compared with those of the CPU
    b   milliseconds a picture: batches, sizes, fp32 and fp16, plain, bound, pinned and as CUDA graphs; copies; options
    c   decoding by NVDEC and in software (needs PyAV)
    d   framepace itself, 1080p at 60 fps with a deadline of 50 ms (needs PyAV)

It needs no network. Each part runs in a process of its own, which is started again if it crashes and ended if it
hangs; each row is written to FILE when it is known. The most telling rows come first, and none starts that would not
end in time. `--provider cpu` is a rehearsal on a machine without a GPU.
Floating-point twins of the embedded model are made with the package `onnx`; where that is missing, carry them there:
--make-models here, --models there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from gpu_journal import Journal, Poisoned, budget_of, error_text, write_json

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / "stages" / "detect" / "data" / "yolov3-tiny-int8.onnx"
WEIGHTS = {"a": 1.6, "b": 5.0, "c": 2.0, "d": 2.0}
"""How the time is shared between the parts; what one leaves goes to those after it."""
_GRACE_S = 15.0
"""A row may take this much longer than was expected."""
_PROBE_S = 60.0
_MAX_STARTS = 20
_CADENCE = 3
"""Rows at a rate, and those of streams, take so many times longer than those back to back."""


def make_models(folder: Path) -> dict[str, Path]:
    """Return the model files by name: the twins, made where they are missing, and the embedded model."""
    names = ("fp16", "fp32", "fp16-shapes")
    files = {name: folder / f"yolov3-tiny-{name}.onnx" for name in names}
    if not all(path.exists() for path in files.values()):
        try:
            import gpu_models

            files = gpu_models.make_models(EMBEDDED, folder)
        except Exception as error:  # the rows of the twins fail; those of the embedded model do not
            print(f"no twins could be made: {error_text(error)}", flush=True)
    return {**files, "int8": EMBEDDED}


def work(arguments: argparse.Namespace, part: str) -> None:
    """Run one part; in a process of its own."""
    journal = Journal(arguments.worker_file, arguments.minutes * 60, end_process=True)
    folder = arguments.folder
    models = make_models(arguments.models or folder)
    if part in "ab":
        from gpu_detect import part_a, part_b
        from gpu_session import Bench

        bench = Bench(arguments.provider, models, arguments.row_seconds, _CADENCE * arguments.row_seconds)
        if part == "a":
            part_a(journal, bench, arguments.model)
        else:
            part_b(journal, bench, arguments.sizes, arguments.batches)
    elif part == "c":
        from gpu_decode import part_c

        part_c(
            journal,
            arguments.provider,
            folder,
            seconds=_CADENCE * arguments.row_seconds,
            streams=tuple(arguments.streams),
        )
    else:
        from gpu_live import part_d

        part_d(journal, arguments.provider, models, folder, seconds=arguments.live_seconds)


def probe() -> dict[str, Any]:
    """Find out whether CUDA works; where it needs a search path for its libraries, set that for what follows."""
    code = """
import onnxruntime as ort, sys
ort.preload_dlls()
session = ort.InferenceSession(sys.argv[1], providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
print(session.get_providers()[0])
sys.exit(session.get_providers()[0] != "CUDAExecutionProvider")
"""
    found: dict[str, Any] = {}
    for attempt in ("as it is", "with LD_LIBRARY_PATH"):
        command = [sys.executable, "-c", code, str(EMBEDDED)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
        except subprocess.TimeoutExpired:
            return found | {attempt: "it hung"}
        found[attempt] = f"{ended.returncode} {ended.stdout[-400:]} {ended.stderr[-1500:]}"
        if ended.returncode == 0:
            break
        folders = sorted({str(folder) for path in sys.path for folder in Path(path).glob("nvidia/*/lib")})
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*folders, os.environ.get("LD_LIBRARY_PATH", "")])
    return found


def supervise(part: str, budget_s: float, rows_file: Path, folder: Path) -> dict[str, Any]:
    """Run one part in another process, and start it again where it left off if it crashes."""
    end_s = time.monotonic() + budget_s
    ends: list[str] = []
    begun = time.monotonic()
    while len(ends) < _MAX_STARTS and (left_s := end_s - time.monotonic()) > 0:
        own = [
            "--worker",
            part,
            "--worker-file",
            str(rows_file),
            "--folder",
            str(folder),
            "--minutes",
            f"{left_s / 60}",
        ]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        try:
            command = [sys.executable, __file__, *sys.argv[1:], *own]
            ended = subprocess.run(command, env=environment, timeout=left_s + _GRACE_S, check=False)
            ends.append(str(ended.returncode))
        except subprocess.TimeoutExpired:
            ends.append("ended: it hung")
        if ends[-1] == "0":
            break
        print(f"part {part}: the process ended with {ends[-1]}", flush=True)
    rows = json.loads(rows_file.read_text()) if rows_file.exists() else {}
    for row in rows.values():
        if row.pop("running", False):
            row["error"] = "it hung, or the process ended in this row"
    return {"seconds": round(time.monotonic() - begun, 1), "ends": ends, "rows": rows}


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=sorted(WEIGHTS), help="all if absent; repeatable")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all parts together")
    parser.add_argument("--output", type=Path, help="JSON file of all rows, written after every part")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", type=Path, help="folder of the twins; made in a temporary folder if absent")
    parser.add_argument("--make-models", type=Path, metavar="FOLDER", help="make the twins there and leave")
    parser.add_argument("--model", type=Path, help="part a: another ONNX file, with a fixed input of 32-bit floats")
    parser.add_argument("--sizes", type=_numbers, default=[320, 416, 640], help="part b: of the input, pixels")
    parser.add_argument("--batches", type=_numbers, default=[1, 2, 4, 8, 16, 32], help="part b")
    parser.add_argument("--streams", type=_numbers, default=[1, 8, 32, 16, 4], help="part c: in this order")
    parser.add_argument("--row-seconds", type=float, default=0.7, help="length of a measurement back to back")
    parser.add_argument("--live-seconds", type=float, default=15.0, help="part d: length of a run")
    for name, kind in (("--worker", str), ("--worker-file", Path), ("--folder", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print rows, and write them."""
    arguments = _arguments()
    sys.path.insert(0, str(ROOT))
    if arguments.worker:
        status = 1
        try:
            work(arguments, arguments.worker)
            status = 0
        except Poisoned as row:
            print(f"CUDA is broken since the row {row}", flush=True)
        except Exception:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)  # not held up by decoders that hang, nor by what CUDA's libraries do at the end
    if arguments.make_models:
        for name, path in make_models(arguments.make_models).items():
            print(f"{name:12} {path} {path.stat().st_size} bytes")
        return
    end_s = time.monotonic() + arguments.minutes * 60
    parts = sorted(set(arguments.part or WEIGHTS))
    found: dict[str, Any] = {"arguments": sys.argv[1:], "parts": {}}
    if arguments.provider == "cuda":
        found["probe"] = probe()
        print(f"probe: {found['probe']}", flush=True)
    with tempfile.TemporaryDirectory(prefix="framepace-gpu-") as temporary:
        folder = Path(temporary)
        for part in parts:
            budget_s = budget_of(part, parts, WEIGHTS, end_s - time.monotonic())
            print(f"--- part {part}, {budget_s:.0f} s", flush=True)
            rows_file = folder / f"{part}.json"
            if arguments.output:
                rows_file = arguments.output.with_name(f"{arguments.output.stem}-{part}.json")
                rows_file.parent.mkdir(parents=True, exist_ok=True)
                rows_file.unlink(missing_ok=True)
            found["parts"][part] = supervise(part, budget_s, rows_file, folder)
            if arguments.output:
                write_json(arguments.output, found)


if __name__ == "__main__":
    main()
