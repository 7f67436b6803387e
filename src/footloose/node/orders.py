"""What the operator asks for by hand: written down, done, and done again after a restart."""

from collections.abc import Callable

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.node.host import Host
from footloose.orchestrator.messages import Event, MoveWanted, SiteAvoided
from footloose.state.orders import OrderStore


class Orders:
    """Standing orders. Each method raises :class:`LocalError` if it cannot be written down; then nothing is done."""

    def __init__(self, store: OrderStore, host: Host, tell: Callable[[Event], None]) -> None:
        self._store = store
        self._host = host
        self._tell = tell

    def move(self, service: ServiceId, site: NodeId | None) -> None:
        """All users of a service to one site, or (None) wherever the loop sends them."""
        self._store.move(service, site)
        self._tell(MoveWanted(service, site))

    def forget(self, service: ServiceId) -> None:
        """A service is gone for good, and where its users were to be is of no matter."""
        self._store.move(service, None)

    def avoid(self, site: NodeId, *, avoid: bool) -> None:
        """No copies at another site, or again."""
        self._store.avoid(site, avoid=avoid)
        self._tell(SiteAvoided(site, avoid))

    def drain(self, reason: str) -> None:
        """Send home the copies that others have here, and take no more."""
        self._store.drain(reason)
        self._host.drain(reason)

    def resume(self) -> None:
        """Take copies again."""
        self._store.drain(None)
        self._host.resume()

    def started(self, service: ServiceId) -> None:
        """A service runs (again, or in a new version): what was ordered for it holds."""
        site = self._store.moved_to(service)
        if site is not None:
            self._tell(MoveWanted(service, site))

    def recover(self) -> None:
        """After a restart, and before any service runs."""
        for site in self._store.avoided():
            self._tell(SiteAvoided(site))
        reason = self._store.draining()
        if reason is not None:
            self._host.drain(reason)
