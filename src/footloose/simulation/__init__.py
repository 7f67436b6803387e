"""The same protocols in virtual time: seeded, replayable, under faults.

Start at :mod:`footloose.simulation.engine`.
"""
