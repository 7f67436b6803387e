"""What the loop is told (events) and what it wants done (effects)."""

import msgspec

from footloose.core.codec import Signed
from footloose.core.identity import NodeId
from footloose.migration.switch import Ask, Poll, Release, Send, SwitchEvent
from footloose.model.app import Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Observation, Prefix, Route
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, Sighting, SiteRecord
from footloose.model.terms import Lease


class Parent(msgspec.Struct, frozen=True):
    """The customer of a copy: where its users came from, and go back to."""

    node: NodeId
    url: str


class ServiceStarted(msgspec.Struct, frozen=True):
    """Event: a service runs here now; ``parent`` is None at its home site, ``leases`` are of copies from before."""

    service: ServiceId
    spec: Service
    app: Signed
    parent: Parent | None = None
    leases: tuple[Lease, ...] = ()


class CustomerHeard(msgspec.Struct, frozen=True):
    """Event: a site that leases the copy here asked after it. ``hold``: the users it sends are to stay here."""

    service: ServiceId
    customer: Parent
    hold: bool = False


class CustomerLeft(msgspec.Struct, frozen=True):
    """Event: a site leases the copy here no more, so it is not known any longer to run the service."""

    service: ServiceId
    customer: NodeId


class ServiceStopped(msgspec.Struct, frozen=True):
    """Event: a service no longer runs here; its copies are given up with ``reason``."""

    service: ServiceId
    reason: str


class UsersObserved(msgspec.Struct, frozen=True):
    """Event: what this site's workers saw since their last report."""

    observations: tuple[Observation, ...]


class RouteTraced(msgspec.Struct, frozen=True):
    """Event: the route to a prefix, or why there is none."""

    prefix: Prefix
    route: Route | None
    reason: str = ""


class SiteSighted(msgspec.Struct, frozen=True):
    """Event: a finder came upon a site near the route to ``prefix``."""

    prefix: Prefix
    sighting: Sighting


class DiscoveryFinished(msgspec.Struct, frozen=True):
    """Event: all finders are done with a prefix; ``failures`` says which failed and how."""

    prefix: Prefix
    failures: tuple[str, ...] = ()


class SiteIdentified(msgspec.Struct, frozen=True):
    """Event: the site at ``endpoint`` said who it is, or (``record`` None) why not; ``claimed`` is who it had to be."""

    endpoint: Endpoint
    record: SiteRecord | None
    reason: str = ""
    claimed: NodeId | None = None


class Absence(msgspec.Struct, frozen=True):
    """Why a site is taken not to be there: it is ``unreachable``, or it has ``left``; ``since`` in seconds."""

    state: str
    since: float
    reason: str


class SitePresence(msgspec.Struct, frozen=True):
    """Event: the membership has found a site absent or, where ``absence`` is None, has nothing against it any more."""

    site: NodeId
    absence: Absence | None = None


class RttMeasured(msgspec.Struct, frozen=True):
    """Event: a site measured its round trip to a prefix; None with the reason where it could not.

    ``answered`` is False where the site itself could not be reached, True where the users did not answer its probes.
    """

    site: NodeId
    prefix: Prefix
    rtt_ms: float | None
    reason: str = ""
    answered: bool = True


class CopyEvent(msgspec.Struct, frozen=True):
    """Event: what came of an effect of the switch ``request_id``, for the copy of ``service`` at ``site``."""

    service: ServiceId
    site: NodeId
    request_id: str
    event: SwitchEvent


class MoveWanted(msgspec.Struct, frozen=True):
    """Event: a person wants all users of ``service`` at ``site`` (None: leave it to the loop again)."""

    service: ServiceId
    site: NodeId | None


class StoodStill(msgspec.Struct, frozen=True):
    """Event: this site did nothing for ``seconds``: it was stopped, starved of the processor, or its clock leapt."""

    seconds: float


class SiteAvoided(msgspec.Struct, frozen=True):
    """Event: a person wants no copies at ``site`` any more, or (``avoid`` False) allows them again."""

    site: NodeId
    avoid: bool = True


Event = (
    ServiceStarted
    | ServiceStopped
    | CustomerHeard
    | CustomerLeft
    | UsersObserved
    | RouteTraced
    | SiteSighted
    | DiscoveryFinished
    | SiteIdentified
    | SitePresence
    | RttMeasured
    | CopyEvent
    | MoveWanted
    | SiteAvoided
    | StoodStill
)


class Trace(msgspec.Struct, frozen=True):
    """Effect: trace the route to ``address``; answer with :class:`RouteTraced`."""

    prefix: Prefix
    address: str


class Discover(msgspec.Struct, frozen=True):
    """Effect: run all finders on ``route``; answer with :class:`SiteSighted` and :class:`DiscoveryFinished`."""

    prefix: Prefix
    route: Route


class Identify(msgspec.Struct, frozen=True):
    """Effect: ask the site at ``endpoint`` for its record; answer with :class:`SiteIdentified`."""

    endpoint: Endpoint
    node: NodeId | None


class Measure(msgspec.Struct, frozen=True):
    """Effect: have ``by`` measure its round trip to ``address``; ``site`` is its record, None if it is this site.

    Answer with :class:`RttMeasured`.
    """

    by: NodeId
    site: SiteRecord | None
    prefix: Prefix
    address: str


class SetRedirects(msgspec.Struct, frozen=True):
    """Effect: send users of these prefixes on, and no others."""

    service: ServiceId
    redirects: tuple[Redirect, ...]


class CopyEnded(msgspec.Struct, frozen=True):
    """Effect: a copy of ``service`` at ``site`` is no more, nor is its lease, if it ever had one."""

    service: ServiceId
    site: NodeId
    reason: str
    lease_id: str | None = None


class Remember(msgspec.Struct, frozen=True):
    """Effect: record a decision."""

    decision: Decision


Effect = Trace | Discover | Identify | Measure | Ask | Send | Poll | Release | SetRedirects | CopyEnded | Remember
