"""RTSP without waiting for the next picture: access units are cut from RTP by the marker bit.

In order: `units` is what comes out; `rtp` reads packets, `ordering` sorts them; `nal` is what both codecs share,
`h264` and `h265` read payloads, `picture` collects what belongs together, `assembler` joins all of that; `rtcp` reads
and writes reports. `sdp`, `messages` and `auth` read and write the text of RTSP. `sockets` waits, with bounds;
`session` asks and hears answers, `carrier` is how media travels, `handshake` opens a stream, and `client` reads it.
"""
