"""This site as a member: what it says of itself and whom it met goes in; who is there, and who is not, comes out."""

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from footloose.core.clock import Clock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId, short
from footloose.core.limits import FACTS_NAME_BYTES, MEMBERS_WATCHED, MEMBERSHIP_MET
from footloose.discovery.members import MembersFinder, Nominee
from footloose.membership.card import Facts
from footloose.membership.config import LAN, WAN
from footloose.membership.events import Changed, Conflict, MemberView, Released
from footloose.membership.node import MembershipNode
from footloose.membership.states import LIVE, MemberState
from footloose.model.network import prefix_of
from footloose.model.site import Endpoint, SiteRecord
from footloose.model.view import ViewMember, ViewMembers, ViewRegion
from footloose.node.config import NodeConfig
from footloose.node.driver import Tasks, again_and_again
from footloose.node.host import Host
from footloose.node.leases import GivenLeases
from footloose.node.services import Services
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import Absence, Event, Identify, SitePresence
from footloose.topology.coordinates import NOWHERE

log = logging.getLogger(__name__)

PRESETS = {"wan": WAN, "lan": LAN, "off": WAN}
AFTER_FAILURE_S = 10.0
"""How soon a look-up of this site's own name is tried again."""
FIRST_WAIT_S = 1.0
"""How soon after the start it is seen again whom there is to ask; each further wait is twice as long."""
ASKED_AT_ONCE = 4
"""Members asked at a time who they are."""
CONFLICT_SHOWN_S = 120.0
"""How long a conflict is shown after it was last noticed; while it lasts it is noticed at least every 30 s or so."""


class Members:
    """Takes part in the membership between :meth:`start` and :meth:`leave`; before and after, there are no members.

    ``tell`` tells the loop which sites are absent, ``identify`` asks one who it is. ``rng`` is only for runs that are
    to repeat themselves.
    """

    def __init__(
        self,
        *,
        config: NodeConfig,
        identity: Identity,
        clock: Clock,
        host: Host,
        services: Services,
        given: GivenLeases,
        loop: Loop,
        tell: Callable[[Event], None],
        identify: Callable[[Identify], None],
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._host = host
        self._services = services
        self._given = given
        self._loop = loop
        self._tell = tell
        self._identify = identify
        self._here = identity.node_id
        preset = PRESETS[config.membership]
        self._facts_interval_s = preset.facts_interval_s
        self._membership = MembershipNode(
            identity, _facts(config), config=preset, told=self._told, clock=clock, rng=rng
        )
        self._running = False
        self._met: dict[Endpoint, None] = {}
        self._watched: set[NodeId] = set()
        self._asked: set[NodeId] = set()
        self._wait_s = FIRST_WAIT_S
        self._conflict: Conflict | None = None
        self._conflict_at = 0.0
        self._tasks = Tasks()
        self.finder = MembersFinder(self._here, self._nominees, self._rtts)

    async def start(self, bind: Endpoint, seeds: Sequence[Endpoint] = ()) -> None:
        """Take part from now on. ``seeds`` are tried until they answer.

        Does nothing if the configuration says so. If this site is called by a name that cannot be looked up now, it
        takes part as soon as it can. Raises :class:`LocalError` if the socket cannot be opened.
        """
        if self._config.membership == "off":
            return
        await self._begin(bind, seeds)

        async def keep_up() -> float:
            if not self._running:
                await self._begin(bind, seeds)
            return self._keep_up() if self._running else AFTER_FAILURE_S

        self._tasks.start(again_and_again(keep_up, "telling members how this site fares", AFTER_FAILURE_S), "members")

    async def leave(self) -> None:
        """Say goodbye, which takes less than a second, and take part no more."""
        await self._tasks.close()
        self._running = False
        await self._membership.leave()

    async def _begin(self, bind: Endpoint, seeds: Sequence[Endpoint]) -> None:
        reached_at = await _address(self._config.address, bind)
        if reached_at is None:
            log.warning("not a member yet: the address of %s cannot be looked up", self._config.address)
            return
        await self._membership.start(bind, seeds, reached_at=reached_at)
        self._running = True
        for address in self._met:
            self._membership.meet(address)
        self._met.clear()

    # What goes in

    def met(self, record: SiteRecord) -> None:
        """A site said who it is: it is a way to join, or to find it again."""
        address = record.membership
        if address is None or record.node == self._here:
            return
        if self._running:
            self._membership.meet(address)
        elif len(self._met) < MEMBERSHIP_MET:
            self._met[address] = None

    def _keep_up(self) -> float:
        held, places = len(self._host.leases_held()), self._config.max_leases
        self._membership.update(
            load_percent=min(100, 100 * held // places) if places else 0,
            capacity=0 if self._host.draining is not None else places,
            services=len(self._services.hosted()),
        )
        self._watch_partners()
        self._ask_neighbours()
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._facts_interval_s)
        return wait_s

    def _watch_partners(self) -> None:
        """Keep those in view that this site leases copies from, or to."""
        partners = self._given.sites() | {held.lease.customer for held in self._host.leases_held()}
        for node in sorted(self._watched - partners):
            self._membership.unwatch(node)
        self._watched &= partners
        for node in sorted(partners - self._watched)[: MEMBERS_WATCHED - len(self._watched)]:
            self._membership.watch(node)
            self._watched.add(node)

    def _ask_neighbours(self) -> None:
        """Ask those nearest who they are, each once, so that people can name them before users come.

        Only those that have answered a ping: who else says it is at an address may mean harm to who is there.
        """
        members = self._membership.members()
        self._asked &= {member.node for member in members}
        unknown = [
            member
            for member in members
            if member.near and member.rtt_ms is not None and member.facts.api_port
            if member.node not in self._asked and member.node not in self._loop.sites
        ]
        for member in unknown[:ASKED_AT_ONCE]:
            self._asked.add(member.node)
            self._identify(Identify(_api(member), member.node))

    # What comes out

    def _told(self, event: Changed | Released | Conflict) -> None:
        # Apart from the socket and the machine behind it: what goes wrong here is no fault of theirs.
        asyncio.get_running_loop().call_soon(self._heard, event)

    def _heard(self, event: Changed | Released | Conflict) -> None:
        match event:
            case Changed():
                log.info("member %s is %s: %s", self._name(event.node), event.after.value, event.reason)
                if event.after in (MemberState.UNREACHABLE, MemberState.LEFT):
                    absence = Absence(event.after.value, self._clock.now(), event.reason)
                    self._tell(SitePresence(event.node, absence))
                elif event.after is MemberState.ALIVE:
                    self._tell(SitePresence(event.node))
            case Released():
                self._tell(SitePresence(event.node))
            case Conflict():
                self._report(event)

    def _report(self, conflict: Conflict) -> None:
        if conflict.node != self._here:
            log.warning("two processes run as %s, one lately at %s", self._name(conflict.node), conflict.address)
            return
        self._conflict, self._conflict_at = conflict, self._clock.now()
        log.error("%s", self.conflict)

    @property
    def conflict(self) -> str | None:
        """What is wrong if another process runs with this site's identity, and what to do; None if none does."""
        if self._conflict is None or self._clock.now() - self._conflict_at > CONFLICT_SHOWN_S:
            return None
        return (
            f"another process runs with this site's identity, lately at {self._conflict.address}: stop one of the two;"
            " a second site needs a state directory of its own, not a copy"
        )

    def seen(self) -> ViewMembers:
        """Who is there, for people."""
        members: tuple[ViewMember, ...] = ()
        regions: tuple[ViewRegion, ...] = ()
        if self._running:
            members = tuple(self._seen(one) for one in self._membership.members())
            regions = tuple(
                ViewRegion(one.region, one.sites, one.domains, one.capacity, one.free, one.complete)
                for one in self._membership.regions()
            )
        return ViewMembers(self._clock.now(), self._here, self._config.name, members, regions)

    def _seen(self, member: MemberView) -> ViewMember:
        record, facts = self._loop.sites.get(member.node), member.facts
        return ViewMember(
            node=member.node,
            name=record.name if record is not None else "",
            address=str(member.address),
            state=member.state.value,
            since=member.since,
            rtt_ms=member.rtt_ms,
            distance_ms=self._distance_ms(member),
            region=facts.region,
            domain=facts.domain,
            capacity=facts.capacity,
            load_percent=facts.load_percent,
            services=facts.services,
            near=member.near,
            watched=member.watched,
        )

    def _name(self, node: NodeId) -> str:
        record = self._loop.sites.get(node)
        return f"{record.name} ({short(node)})" if record is not None else short(node)

    def _distance_ms(self, member: MemberView) -> float | None:
        theirs, ours = member.facts.coordinate, self._membership.coordinate
        return None if NOWHERE in (theirs, ours) else ours.distance_ms(theirs)

    # For finding sites

    def _nominees(self) -> Iterator[Nominee]:
        for member in self._membership.members() if self._running else ():
            facts = member.facts
            rtt_ms = member.rtt_ms if member.rtt_ms is not None else self._distance_ms(member)
            if member.state not in LIVE or not facts.api_port or rtt_ms is None:
                continue
            if facts.capacity and facts.load_percent < 100:
                yield Nominee(member.node, _api(member), rtt_ms, facts.coordinate)

    def _rtts(self, address: str) -> Mapping[NodeId, float]:
        """The round trips to a user's prefix that are known here, by the site that measured them."""
        try:
            prefix = prefix_of(address)
        except RemoteError:
            return {}
        users = [running.users[prefix] for running in self._loop.services.values() if prefix in running.users]
        known = {site: rtt_ms for user in users for site, rtt_ms in user.rtt_at_ms.items()}
        place = self._loop.located.get(prefix)
        return known | (place.rtt_ms if place is not None else {})


def _facts(config: NodeConfig) -> Facts:
    """What this site says of itself at first. Raises :class:`LocalError` if others would not accept it."""
    if len(config.failure_domain.encode()) > FACTS_NAME_BYTES:
        fix = f"at most {FACTS_NAME_BYTES} bytes"
        raise LocalError("the name of the failure domain is too long", where=config.failure_domain, fix=fix)
    # Regions that differ only beyond what fits are summed up as one.
    region = config.region.encode()[:FACTS_NAME_BYTES].decode(errors="ignore")
    return Facts(region, config.failure_domain, config.max_leases, api_port=config.api_port)


def _api(member: MemberView) -> Endpoint:
    return Endpoint(member.address.host, member.facts.api_port)


async def _address(host: str, bind: Endpoint) -> str | None:
    """The address that others are told, looked up if ``host`` is a name; None if it cannot be."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return host
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, bind.port, type=socket.SOCK_DGRAM)
    except OSError:
        return None
    return str(found[0][4][0])
