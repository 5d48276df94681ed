"""Make pedestrians.mp4 from the clip that OpenCV ships as vtest.avi.

Usage: python sample_videos/make_pedestrians.py path/to/vtest.avi sample_videos/pedestrians.mp4

Every frame is kept, in order, in the same size, with the time stamps of the source's header (10 fps). There are no
B-frames, so that decode order is presentation order as with a camera, and a key frame every 2.5 s.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import av

SOURCE_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
"""Of examples/data/vtest.avi in Debian's package opencv-doc 4.6.0+dfsg-12."""
FRAMES = 795
GOP_FRAMES = 25
ENCODER_OPTIONS = {"preset": "slower", "crf": "29", "threads": "1", "x264-params": "bframes=0:scenecut=0:psy=0"}
"""One thread: the result then does not depend on the number of cores. CRF 29 keeps the file below 4 MB; psy=0 stays
closest to the source (PSNR 38 dB)."""


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def encode(source: Path, target: Path) -> int:
    """Re-encode every frame of `source` to H.264 in `target`; return how many there were."""
    count = 0
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"movflags": "+faststart"}) as writer:
        stream_in = reader.streams.video[0]
        stream_out = writer.add_stream("libx264", rate=stream_in.average_rate, options=ENCODER_OPTIONS)
        stream_out.width, stream_out.height = stream_in.width, stream_in.height
        stream_out.pix_fmt = "yuv420p"
        stream_out.gop_size = GOP_FRAMES
        for frame in reader.decode(stream_in):
            # The decoder's picture type would otherwise be taken as an order to the encoder.
            frame.pict_type = av.video.frame.PictureType.NONE
            writer.mux(stream_out.encode(frame))
            count += 1
        writer.mux(stream_out.encode(None))
    return count


def main() -> None:
    """Check the source, encode it, check the result and print its hash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    if (found := sha256(arguments.source)) != SOURCE_SHA256:
        parser.error(f"{arguments.source} has sha256 {found}, not {SOURCE_SHA256}")
    if (count := encode(arguments.source, arguments.target)) != FRAMES:
        parser.error(f"{arguments.source} gave {count} frames, not {FRAMES}")
    print(f"{sha256(arguments.target)}  {arguments.target}  {arguments.target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
