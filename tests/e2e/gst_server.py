"""Serves a test picture by GStreamer's RTSP server; for the system's own Python, which has its bindings.

gst_server.py h264|hevc|mjpeg     prints its URL when it listens, and ends when its standard input does
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  # versions are to be named before

ENCODERS = {
    "h264": "openh264enc gop-size=15 ! h264parse ! rtph264pay name=pay0 config-interval=-1",
    "hevc": "x265enc speed-preset=ultrafast tune=zerolatency key-int-max=15 ! h265parse "
    "! rtph265pay name=pay0 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0",
}


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    picture = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    factory.set_launch(f"( {picture} ! {ENCODERS[sys.argv[1]]} )")
    server.get_mount_points().add_factory("/test", factory)
    server.attach(None)
    loop = GLib.MainLoop()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/test", flush=True)
    loop.run()


main()
