"""A swarm for DHT tests: delays drawn anew for each datagram, real signatures, every datagram in the digest."""

from collections.abc import Iterable

from footloose.simulation.dht import Inquiry, Swarm, SwarmNode
from footloose.simulation.network import Conditions


class Network(Swarm):
    """Everything that happens follows from ``seed``."""

    def __init__(self, seed: int, *, loss: float = 0.0, delay_s: tuple[float, float] = (0.005, 0.05)) -> None:
        super().__init__(
            seed, lambda _source, _target: self.engine.random.uniform(*delay_s), Conditions(loss=loss), recording=True
        )

    def look_up_all(self, pairs: Iterable[tuple[SwarmNode, str]]) -> list[Inquiry]:
        """Look up each router at its node and wait for all to end; some at a time, as a site would."""
        inquiries = []
        for node, router in pairs:
            inquiries.append(self.look_up(node, router))
            self.run(0.02)
        self.run(4.0)
        assert all(inquiry.done for inquiry in inquiries)
        return inquiries
