"""What a run of the demo is to show."""

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed import Role, Topology


class Plan(msgspec.Struct, frozen=True):
    """One run: at most for ``seconds``, the page at ``page_port`` of the loopback address (0: none).

    ``stay`` goes on after all is done, until it is ended. Sites in ``dns_only`` do not join the DHT: they are found by
    their SRV records alone. Raises :class:`LocalError` for a network the demo cannot be shown on.
    """

    topology: Topology
    seconds: float
    page_port: int = 0
    stay: bool = False
    dns_only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        homes, sites, users = (len(self.named(role)) for role in (Role.HOME, Role.SITE, Role.USER))
        if homes != 1 or not sites or not users:
            what = f"has {homes} hosts with role home, {sites} with role site and {users} with role user"
            fix = "give it exactly one home, at least one site and at least one user"
            raise LocalError(what, where=f"topology {self.topology.name}", fix=fix)

    def named(self, role: Role) -> tuple[str, ...]:
        """Names of the hosts with this role, in order."""
        return tuple(host.name for host in self.topology.with_role(role))

    @property
    def home(self) -> str:
        """The name of the home site's host."""
        return self.named(Role.HOME)[0]
