"""Membership machines in a network in memory: the harness that the benchmarks use too, by the names the tests use."""

from typing import Any

from footloose.simulation.members import Member as Site
from footloose.simulation.members import Members, identity_of, node_name
from footloose.simulation.network import Conditions

__all__ = ["Network", "Site", "identity_of", "node_name"]


class Network(Members):
    """Members on a network that loses a part of all messages."""

    def __init__(self, seed: int, *, loss: float = 0.0, **options: Any) -> None:
        super().__init__(seed, conditions=Conditions(loss=loss), **options)
