"""Where frames come from: packets of files and cameras, or made-up pictures.

`targets` understands what the user wrote, `demux` opens and reads it with bounded waits, `selection` picks the
packets that count, `envelope` and `pacing` keep the time, `video` and `synthetic` are the sources.
"""
