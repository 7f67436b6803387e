"""Terms between sites: what is asked, what is agreed, what was used."""

import msgspec

from footloose.core.codec import Signed
from footloose.core.digest import Digest
from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.model.network import Observation


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
    """The customer asks how its copy fares and, if ``renew``, for another term. Idempotent."""

    renew: bool = False


class LeaseEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a lease is ended."""

    reason: str


class MeterReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a copy, and the copies it leased in turn, served since ``since``."""

    lease_id: str
    since: float
    until: float
    observations: tuple[Observation, ...]


class ProbeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a site to measure the round trip to a user's address."""

    address: str


class ProbeAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The round trip measured, None if the address did not answer."""

    rtt_ms: float | None
