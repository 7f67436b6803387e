"""Sites published in the DNS by the networks on the route (ExEC §2.2).

The address of each hop has a name (PTR); the name lies in zones; a zone that has sites says so with SRV records
at ``_edge._tcp`` (RFC 2782); their targets have addresses.
"""

import asyncio
import ipaddress
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import (
    DNS_CACHE_S,
    DNS_CACHED_ANSWERS,
    DNS_LOOKUPS_PER_ROUTE,
    DNS_NAMES_PER_HOP,
    DNS_PARALLEL,
    DNS_SITES_PER_ZONE,
    DNS_TIMEOUT_S,
    DNS_ZONES_PER_NAME,
)
from footloose.discovery.merge import merged
from footloose.model.network import Route, router_id
from footloose.model.site import Endpoint, Sighting, Source

SERVICE = dns.name.Name([b"_edge", b"_tcp"])
_ARPA = dns.name.from_text("arpa.")


class DnsFinder:
    """Asks ``nameservers`` (addresses, not names), in order. Answers, also negative ones, are remembered by their TTL.

    Raises :class:`LocalError` if there is no name server, or one is not an address.
    """

    source: Source = Source.DNS

    def __init__(
        self,
        nameservers: Sequence[Endpoint],
        *,
        timeout_s: float = DNS_TIMEOUT_S,
        lookups_per_route: int = DNS_LOOKUPS_PER_ROUTE,
    ) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [_nameserver(endpoint) for endpoint in nameservers]
        if not nameservers:
            raise LocalError("no name server given", where="DNS discovery", fix="name one, or leave this finder out")
        self._resolver.cache = _Cache(DNS_CACHED_ANSWERS)
        self._resolver.lifetime = timeout_s
        self._resolver.timeout = timeout_s / 2  # so that a dead server leaves time for the next
        self._lookups_per_route = lookups_per_route

    async def find(self, route: Route) -> AsyncGenerator[Sighting, None]:
        """Sites of the zones that the route's hops, and its target, are named in.

        Raises :class:`RemoteError` at the end if some questions got no answer, or there were too many.
        """
        questions = _Questions(self._resolver, self._lookups_per_route)
        addresses = [route.target, *(hop.address for hop in reversed(route.hops) if hop.address is not None)]
        near = merged([_near(address, questions) for address in dict.fromkeys(addresses)])
        try:
            async with aclosing(near) as sightings:
                async for sighting in sightings:
                    yield sighting
        finally:
            await questions.close()
        questions.check()


def zones_of(name: dns.name.Name) -> list[dns.name.Name]:
    """The zones ``name`` may lie in, the most specific first: itself and its parents, but no top-level domain."""
    if name.is_subdomain(_ARPA):
        return []
    labels = name.labels
    zones = [dns.name.Name(labels[first:]) for first in range(len(labels) - 2)]
    return zones[-DNS_ZONES_PER_NAME:]


async def _near(address: str, questions: "_Questions") -> AsyncGenerator[Sighting, None]:
    pointers = await questions.ask(dns.reversename.from_address(address), dns.rdatatype.PTR)
    names = sorted(pointer.target for pointer in pointers)[:DNS_NAMES_PER_HOP]
    zones = dict.fromkeys(zone for name in names for zone in zones_of(name))
    async with aclosing(merged([_sites(zone, questions) for zone in zones])) as sites:
        async for api in sites:
            if _may_name(address, api.host):
                yield Sighting(api=api, source=Source.DNS, router=router_id(address))


async def _sites(zone: dns.name.Name, questions: "_Questions") -> AsyncGenerator[Endpoint, None]:
    """The sites ``zone`` publishes, as its SRV records order them: by priority, then by weight."""
    try:
        service = SERVICE.concatenate(zone)
    except dns.name.NameTooLong:
        return
    records = await questions.ask(service, dns.rdatatype.SRV)
    # A target of "." means: decidedly not available here (RFC 2782).
    offered = [record for record in records if record.target != dns.name.root and record.port != 0]
    offered.sort(key=lambda record: (record.priority, -record.weight, record.port, record.target))
    offered = offered[:DNS_SITES_PER_ZONE]
    answers = await asyncio.gather(*(_addresses(record.target, questions) for record in offered))
    for record, addresses in zip(offered, answers, strict=True):
        for address in addresses[:DNS_SITES_PER_ZONE]:
            yield Endpoint(address, record.port)


async def _addresses(host: dns.name.Name, questions: "_Questions") -> list[str]:
    kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
    answers = await asyncio.gather(*(questions.ask(host, kind) for kind in kinds))
    return [record.address for answer in answers for record in answer]


def _may_name(hop: str, host: str) -> bool:
    """Whether a zone found by way of ``hop`` may send us to ``host``: not to ourselves, nor to no single machine."""
    address = ipaddress.ip_address(host)
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    return not address.is_loopback or ipaddress.ip_address(hop).is_loopback


def _nameserver(endpoint: Endpoint) -> dns.nameserver.Do53Nameserver:
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError as error:
        raise LocalError(f"name server {endpoint.host!r} is not an address", where="DNS discovery") from error
    return dns.nameserver.Do53Nameserver(endpoint.host, endpoint.port)


class _Cache(dns.resolver.LRUCache):
    """Answers by their TTL, but none for longer than the limit."""

    def put(self, key: Any, value: dns.resolver.Answer) -> None:
        value.expiration = min(value.expiration, time.time() + DNS_CACHE_S)
        super().put(key, value)


class _Questions:
    """What is asked for one route: each question once, so many at a time, so many in all."""

    def __init__(self, resolver: dns.asyncresolver.Resolver, limit: int) -> None:
        self._resolver = resolver
        self._limit = limit
        self._turns = asyncio.Semaphore(DNS_PARALLEL)
        self._asked: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], asyncio.Task[list[Any]]] = {}
        self._unanswered: list[str] = []
        self._left_out = 0

    async def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> list[Any]:
        """The records, none if there are none, there was no answer, or the limit is reached."""
        task = self._asked.get((name, kind))
        if task is None:
            if len(self._asked) >= self._limit:
                self._left_out += 1
                return []
            task = self._asked[name, kind] = asyncio.create_task(self._resolve(name, kind))
        # Several hops may wait for one answer; one that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    async def _resolve(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> list[Any]:
        async with self._turns:
            try:
                return list(await self._resolver.resolve(name, kind, search=False))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                return []
            except dns.exception.DNSException as error:
                self._unanswered.append(f"{name}: {error}")
                return []

    async def close(self) -> None:
        """Stop whatever still runs."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    def check(self) -> None:
        """Raise :class:`RemoteError` if the findings are not all there may be."""
        if self._unanswered:
            missed = f"{len(self._unanswered)} of {len(self._asked)}"
            raise RemoteError(f"{missed} questions had no answer, the first {self._unanswered[0]}", where="DNS")
        if self._left_out:
            raise RemoteError(f"{self._left_out} questions left out after {self._limit}", where="DNS")
