"""The main job, shown: an internet in a box, a home, sites nobody configured, users whose latency falls."""
