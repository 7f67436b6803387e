"""Finding sites near a route: what a finder is, and how several work side by side."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeAlias

import msgspec

from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId
from footloose.core.limits import FINDER_TIMEOUT_S, SIGHTINGS_PER_FINDER
from footloose.discovery.merge import merged
from footloose.model.network import Route
from footloose.model.site import Endpoint, Sighting, Source
from footloose.topology.estimate import estimate


class Finder(Protocol):
    """One way to come upon sites. May raise anything; :class:`Discovery` keeps it from harming the others."""

    @property
    def source(self) -> Source:
        """Which way this is."""
        ...

    def find(self, route: Route) -> AsyncIterator[Sighting]:
        """Sites near ``route``, each as soon as it is known."""
        ...


class FinderFailed(msgspec.Struct, frozen=True):
    """A finder did not finish its work on a route, and why. What it had found before stands."""

    source: Source
    reason: str

    def __str__(self) -> str:
        return f"{self.source.value}: {self.reason}"


Finding: TypeAlias = Sighting | FinderFailed


class Discovery:
    """All finders at once on one route, their sightings merged as they come. The own site is left out.

    ``own_endpoints`` lets sightings without a node id be known for our own site too.
    """

    def __init__(
        self,
        finders: Sequence[Finder],
        own: NodeId,
        own_endpoints: Iterable[Endpoint] = (),
        *,
        time_limit_s: float = FINDER_TIMEOUT_S,
    ) -> None:
        self._finders = tuple(finders)
        self._own = own
        self._own_endpoints = frozenset(own_endpoints)
        self._time_limit_s = time_limit_s

    async def find(self, route: Route) -> AsyncGenerator[Finding, None]:
        """Sites near ``route`` and failures of finders, in the order they come.

        A site comes again only when it is found to be nearer the user than before, or under its node id.
        """
        best = _Best(route)
        async with aclosing(merged([self._run(finder, route) for finder in self._finders])) as findings:
            async for finding in findings:
                if isinstance(finding, FinderFailed) or (not self._is_own(finding) and best.improves(finding)):
                    yield finding

    def _is_own(self, sighting: Sighting) -> bool:
        return sighting.node == self._own or (sighting.node is None and sighting.api in self._own_endpoints)

    async def _run(self, finder: Finder, route: Route) -> AsyncGenerator[Finding, None]:
        """One finder's findings, its failure among them."""
        sightings: AsyncIterator[Sighting] | None = None
        try:
            sightings = finder.find(route)
            async for sighting in _within(sightings, self._time_limit_s):
                yield sighting
        except Exception as error:  # noqa: BLE001 - a finder is a plug-in: however it fails, the others go on
            yield FinderFailed(finder.source, str(error) or type(error).__name__)
        finally:
            if isinstance(sightings, AsyncGenerator):
                await sightings.aclose()


async def _within(sightings: AsyncIterator[Sighting], time_limit_s: float) -> AsyncGenerator[Sighting, None]:
    """``sightings`` up to the limits of time and number. Raises :class:`RemoteError` where they stop it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + time_limit_s
    for _ in range(SIGHTINGS_PER_FINDER):
        try:
            # The limit is put around each step, not around the loop, because a generator must not yield inside it.
            async with asyncio.timeout_at(deadline):
                sighting = await anext(sightings)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RemoteError(f"not done after {time_limit_s:g} s") from error
        yield sighting
    raise RemoteError(f"stopped at {SIGHTINGS_PER_FINDER} sightings")


class _Best:
    """The best sighting of each site so far, so that only news is passed on.

    A sighting without a node id is compared only with its like: the claim of some node to be at that endpoint is
    unproven, and must not hide who else may be there.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        # Where the user did not answer the trace, the farthest router that did stands for it.
        self._end_ms = max((hop.rtt_ms for hop in route.hops if hop.rtt_ms is not None), default=0.0)
        self._sightings: dict[NodeId | Endpoint, Sighting] = {}

    def improves(self, sighting: Sighting) -> bool:
        """Whether ``sighting`` says more than what came before; if so it is remembered."""
        key = sighting.node or sighting.api
        before = self._sightings.get(key)
        if before is not None and self._distance(sighting) >= self._distance(before):
            return False
        self._sightings[key] = sighting
        return True

    def _distance(self, sighting: Sighting) -> tuple[int, float]:
        """Smaller is better: a measured distance to the user before a guess by router before none at all."""
        if sighting.rtt_ms is not None:
            guess = estimate(self._route, sighting, self._end_ms)
            return (0, sighting.rtt_ms if guess is None else guess.rtt_ms)
        at_router = estimate(self._route, msgspec.structs.replace(sighting, rtt_ms=0.0), self._end_ms)
        return (2, 0.0) if at_router is None else (1, at_router.rtt_ms)
