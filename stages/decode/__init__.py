"""Packets to pictures: the decoder has a stage of its own, because every packet must pass it, wanted or not.

`video` decodes with FFmpeg; pictures keep the decoder's own format until somebody asks for pixels.
"""
