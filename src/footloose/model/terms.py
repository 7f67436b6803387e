"""Terms between sites: what is asked, what is agreed, what was used."""

import msgspec

from footloose.core.codec import Signed
from footloose.core.digest import Digest
from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId, public_key_of
from footloose.core.limits import CLOCK_SKEW_S, LEASE_TERM_S, TERMS_TEXT_CHARS
from footloose.core.printable import printable
from footloose.model.app import ServiceId
from footloose.model.network import Observation, prefix_of
from footloose.model.site import check_origin


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``customer`` asks a site to run one service. ``app`` is the owner's signed :class:`App`.

    ``request_id`` makes the request idempotent: asking again gives the same lease. ``parent_url`` is where the
    copy sends users it no longer serves. ``relay_token`` lets the copy join the service's live topics there.
    """

    request_id: str
    customer: NodeId
    app: Signed
    service: str
    term_s: float
    parent_url: str
    relay_token: str
    price_per_hour: float


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site promises, signed by it. Both sides compute from it alone when it ends.

    ``url`` is where users reach the copy. After ``ends_at`` a copy that cannot reach its customer may go on for
    ``grace_s`` while it has users.
    """

    lease_id: str
    provider_node: NodeId
    customer: NodeId
    service: ServiceId
    artifact: Digest
    starts_at: float
    ends_at: float
    grace_s: float
    price_per_hour: float
    url: str


class LeaseAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site's answer to a lease request or to a poll: the signed :class:`Lease`, or what stands in its way.

    ``needs_artifact`` asks the customer to send the code first and ask again. ``refused`` says why not. ``ending`` is
    set once the site wants to be rid of the copy: the customer should stop sending users and release the lease.
    """

    lease: Signed | None = None
    needs_artifact: Digest | None = None
    refused: str | None = None
    ending: str | None = None
    reading: "MeterReading | None" = None


class LeasePoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The customer asks how its copy fares and, if ``renew``, for another term. Idempotent.

    With ``hold`` the users it sends are to stay: the copy sends none of them on, nor back.
    """

    renew: bool = False
    hold: bool = False


class LeaseEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a lease is ended."""

    reason: str


class MeterReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a copy, and the copies it leased in turn, served since ``since``.

    ``shared`` says that another customer of the same copy, the first, is told the same: it alone passes it on to its
    own customer, or what a copy with two customers serves would be counted twice further up.
    """

    lease_id: str
    since: float
    until: float
    observations: tuple[Observation, ...]
    shared: bool = False


class ProbeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a site to measure the round trip to a user's address."""

    address: str


class ProbeAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The round trip measured, None if the address did not answer."""

    rtt_ms: float | None


def check_request(request: LeaseRequest, service: ServiceId, where: str) -> None:
    """Raises :class:`RemoteError` unless what the customer made up itself is such as can be worked with."""
    for text in (request.request_id, request.relay_token):
        if not 1 <= len(text) <= TERMS_TEXT_CHARS or not (text.isascii() and text.isprintable()):
            raise RemoteError(f"{printable(text, 60)!r} is too long, or not plain text", where=where)
    if request.term_s <= 0:
        raise RemoteError(f"a term of {request.term_s:g} s", where=where)
    check_service_url(request.parent_url, service, where)


def check_service_url(url: str, service: ServiceId, where: str) -> None:
    """Raises :class:`RemoteError` unless ``url`` is ``service`` at some gateway: users are sent there."""
    origin = url.removesuffix(f"/{service}/")
    if origin == url:
        raise RemoteError(f"{printable(url, 60)!r} does not end in /{service}/", where=where)
    check_origin(origin, where)


def check_lease(lease: Lease, request: LeaseRequest, service: ServiceId, now: float, where: str) -> None:
    """Raises :class:`RemoteError` unless ``lease`` is what ``request`` asked for: it decides where users are sent."""
    if (lease.customer, lease.service) != (request.customer, service):
        raise RemoteError("the lease is not the one asked for", where=where)
    if lease.ends_at <= now:
        raise RemoteError("the lease has run out already", where=where, fix="set the clocks")
    if lease.ends_at > now + LEASE_TERM_S + CLOCK_SKEW_S or not 0 < lease.ends_at - lease.starts_at <= request.term_s:
        raise RemoteError("the lease is for longer than was asked", where=where, fix="set the clocks")
    if lease.price_per_hour > request.price_per_hour:
        raise RemoteError(f"the lease costs {lease.price_per_hour:g} an hour, more than was offered", where=where)
    if not 1 <= len(lease.lease_id) <= TERMS_TEXT_CHARS or not lease.lease_id.isalnum():
        raise RemoteError("its id is not letters and digits", where=where)
    check_service_url(lease.url, service, where)


def check_reading(observations: tuple[Observation, ...], service: ServiceId, where: str) -> None:
    """Raises :class:`RemoteError` unless all was seen at ``service`` and can have been seen."""
    for seen in observations:
        if seen.service != service:
            raise RemoteError(f"tells of another service, {printable(seen.service, 60)!r}", where=where)
        if seen.prefix != prefix_of(seen.address):
            raise RemoteError(f"{printable(seen.address, 60)!r} is not in {printable(seen.prefix, 60)!r}", where=where)
        if min(seen.requests, seen.errors, seen.open_websockets, seen.rtt_ms or 0.0) < 0:
            raise RemoteError("counts below nothing", where=where)
    for site in {seen.site for seen in observations if seen.site is not None}:
        public_key_of(site)
