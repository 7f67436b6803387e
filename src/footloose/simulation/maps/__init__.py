"""Where simulated sites and users stand, and how far apart.

:mod:`~footloose.simulation.maps.interface` says what a map is. Maps come from generated trees (``tree``), measured
round trips (``matrix``) and published networks (``hub``); ``spread`` puts any number of nodes on one.
"""
