"""Sites named in the configuration."""

from collections.abc import AsyncGenerator, Iterable

import msgspec

from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import NodeId, public_key_of
from footloose.model.network import Route
from footloose.model.site import Endpoint, Sighting, Source


class StaticSite(msgspec.Struct, frozen=True):
    """Where a site's API is and, if it is known, whose it must be."""

    api: Endpoint
    node: NodeId | None = None


class StaticFinder:
    """Finds the same sites on every route. Raises :class:`LocalError` if a node id is not one."""

    source: Source = Source.STATIC

    def __init__(self, sites: Iterable[StaticSite]) -> None:
        self._sites = tuple(sites)
        for site in self._sites:
            try:
                if site.node is not None:
                    public_key_of(site.node)
            except RemoteError as error:
                raise LocalError(error.what, where=f"site {site.api}", fix="copy the node id from that site") from error

    async def find(self, route: Route) -> AsyncGenerator[Sighting, None]:  # noqa: ARG002 - the same for every route
        """The sites of the list, in its order."""
        for site in self._sites:
            yield Sighting(api=site.api, source=Source.STATIC, node=site.node)
