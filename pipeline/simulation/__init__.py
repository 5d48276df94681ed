"""The live engine's decisions without the waiting: its own admission, publisher and estimator on simulated time.

From the bottom up:

    distributions  durations that vary
    recording      what a run wrote down about its timings
    arrivals       when pictures come
    services       how long the stages take
    policies       other ways to choose the next picture, for comparison
    world          one event after the other
    replay         a recorded run once more, and whether the decisions are the same
"""
