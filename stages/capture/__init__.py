"""Where frames come from: packets of files and cameras, or made-up pictures.

`targets` understands what the user wrote, `demux` opens and reads it with bounded waits, `seeking` finds a start time,
`selection` picks the packets that count, `timeline` times them with the help of `stamp_clock` (cameras) and `pacing`
(recordings played as cameras); `video` and `synthetic` are the sources.
"""
