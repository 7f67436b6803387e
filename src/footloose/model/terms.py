"""Terms between sites: what is asked, what is agreed, what was used."""

import msgspec

from footloose.core.codec import Signed
from footloose.core.digest import Digest
from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.model.network import Observation


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``customer`` asks a site to run one service. ``app`` is the owner's signed :class:`App`.

    ``request_id`` makes the request idempotent: asking again gives the same lease. ``parent_gateway`` is where
    the copy sends users it no longer serves. ``relay_token`` lets the copy join the service's live topics there.
    """

    request_id: str
    customer: NodeId
    app: Signed
    service: str
    term_s: float
    parent_gateway: str
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


class LeaseEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a lease ended."""

    lease_id: str
    reason: str


class MeterReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a copy (and the copies it made in turn) served since ``since``; sent to its customer."""

    lease_id: str
    since: float
    until: float
    observations: tuple[Observation, ...]
