"""Detections to tracks: `tracker` follows objects over time, and a `snapshot` of it moves them to any later moment.

`kalman` is the motion of all boxes at once, `association` decides which detection belongs to which track.
"""
