"""Trouble on purpose: a source, a stage and a sink that do what cameras, models and disks do on bad days.

`source` wraps another source, `stage` stands anywhere in the chain, `sink` wraps another sink. Anyone can put them into
a configuration to see what framepace makes of it. Everything random comes from a seed.
"""
