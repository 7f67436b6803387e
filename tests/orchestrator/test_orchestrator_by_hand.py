"""What people ask of the loop by hand, and what must not stop it: moves, versions, placers that fail, liars."""

import msgspec
import pytest

from footloose.core.codec import sign
from footloose.core.digest import digest_of
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import RECORD_LIFETIME_S, SITES_KNOWN
from footloose.migration.switch import Ask, LeaseAnswered, LeaseReleased, PollFailed, Release, State, SwitchEvent
from footloose.model.app import App, GuestKind, Service
from footloose.model.network import Observation, Prefix, Route
from footloose.model.site import Endpoint, ProviderId, Sighting, SiteRecord, Source
from footloose.model.terms import Lease
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import (
    CopyEnded,
    CopyEvent,
    DiscoveryFinished,
    Effect,
    Event,
    Identify,
    MoveWanted,
    Parent,
    Remember,
    RouteTraced,
    RttMeasured,
    ServiceStarted,
    ServiceStopped,
    SetRedirects,
    SiteIdentified,
    SiteSighted,
    UsersObserved,
)
from footloose.placement.interface import Placer
from footloose.placement.registry import placer

HOME = Identity.from_seed(b"h" * 32)
NEAR = Identity.from_seed(b"n" * 32)
FAR = Identity.from_seed(b"f" * 32)
PREFIX = Prefix("192.0.2.0/24")
USER = "192.0.2.7"


def an_app(**service: object) -> App:
    web = Service("web", digest_of(b"code"), GuestKind.HANDLER)
    return App("shop", HOME.node_id, (msgspec.structs.replace(web, **service),))


def a_record(site: Identity, host: str = "198.51.100.1", now: float = 0.0) -> SiteRecord:
    return SiteRecord(
        node=site.node_id,
        provider=ProviderId(site.node_id),
        name=host,
        api=Endpoint(host, 7443),
        gateway=f"http://{host}",
        issued_at=now,
        expires_at=now + RECORD_LIFETIME_S,
    )


NEAR_AT = a_record(NEAR)
FAR_AT = a_record(FAR, "198.51.100.2")


class Scene:
    """A loop at the home site that knows two other sites; time goes on by a tenth with each event."""

    def __init__(self, app: App, find: object = placer) -> None:
        self.now = 0.0
        self.app = app
        self.service = app.service_id(app.services[0])
        self.loop = Loop(HOME.node_id, find, self.now)  # type: ignore[arg-type]
        self.seen: list[Effect] = []
        for record in (NEAR_AT, FAR_AT):
            self.tell(SiteIdentified(record.api, record))
        self.start(app)

    def tell(self, event: Event) -> list[Effect]:
        self.now += 0.1
        effects = self.loop.receive(event, self.now)
        self.seen += effects
        return effects

    def start(self, app: App, parent: Parent | None = None) -> list[Effect]:
        return self.tell(ServiceStarted(self.service, app.services[0], sign(app, HOME), parent))

    def users(self, prefix: Prefix = PREFIX, address: str = USER) -> list[Effect]:
        return self.tell(UsersObserved((Observation(self.service, prefix, address, requests=1, rtt_ms=80.0),)))

    def grant(self, site: SiteRecord) -> list[Effect]:
        """The site that was asked grants its lease."""
        return self.copy_event(site, LeaseAnswered(lease=self.lease(site, site.name.replace(".", ""))))

    def lease(self, site: SiteRecord, lease_id: str) -> Lease:
        """What a site grants."""
        return Lease(
            lease_id=lease_id,
            provider_node=site.node,
            customer=HOME.node_id,
            service=self.service,
            artifact=self.app.services[0].artifact,
            starts_at=self.now,
            ends_at=self.now + 60,
            grace_s=60.0,
            price_per_hour=0.0,
            url=f"{site.gateway}/{self.service}/",
        )

    def copy_event(self, site: SiteRecord, event: SwitchEvent) -> list[Effect]:
        """Something happened to the copy that the site was asked for last."""
        (ask,) = [effect for effect in self.seen if isinstance(effect, Ask) and effect.site == site.node][-1:]
        return self.tell(CopyEvent(self.service, site.node, ask.request_id, event))

    def move(self, site: NodeId | None) -> list[Effect]:
        return self.tell(MoveWanted(self.service, site))


def asked(effects: list[Effect]) -> list[NodeId]:
    return [effect.site for effect in effects if isinstance(effect, Ask)]


def released(effects: list[Effect]) -> list[NodeId]:
    return [effect.site for effect in effects if isinstance(effect, Release)]


def reasons(effects: list[Effect]) -> list[str]:
    return [effect.decision.reason for effect in effects if isinstance(effect, Remember)]


def redirects(effects: list[Effect]) -> dict[Prefix, str]:
    (last,) = [effect for effect in effects if isinstance(effect, SetRedirects)][-1:]
    return {one.prefix: one.url for one in last.redirects}


@pytest.mark.parametrize("follow_users", [True, False])
def test_a_move_by_hand_asks_the_site_and_sends_all_users_there(follow_users: bool) -> None:
    scene = Scene(an_app(follow_users=follow_users))
    scene.users()
    assert asked(scene.move(NEAR.node_id)) == [NEAR.node_id]
    assert redirects(scene.grant(NEAR_AT)) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def test_users_who_come_home_after_a_move_are_sent_on_too() -> None:
    scene = Scene(an_app(follow_users=False))
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    assert redirects(scene.users()) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def test_the_copy_moved_from_ends_only_once_the_one_moved_to_serves() -> None:
    scene = Scene(an_app())
    scene.users()
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    assert released(scene.move(FAR.node_id)) == []
    effects = scene.grant(FAR_AT)
    assert released(effects) == [NEAR.node_id]
    kinds = [type(effect) for effect in effects]
    assert kinds.index(SetRedirects) < kinds.index(Release)  # users first, then the lease


def test_a_move_home_ends_all_copies() -> None:
    scene = Scene(an_app())
    scene.users()
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    effects = scene.move(HOME.node_id)
    assert released(effects) == [NEAR.node_id]
    assert redirects(effects) == {}


def test_a_copy_still_being_asked_for_is_given_up_when_users_are_moved_home() -> None:
    scene = Scene(an_app())
    scene.move(NEAR.node_id)
    scene.move(HOME.node_id)
    assert released(scene.grant(NEAR_AT)) == [NEAR.node_id]


def test_a_service_that_stops_leaves_no_copy_remembered() -> None:
    scene = Scene(an_app())
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    effects = scene.tell(ServiceStopped(scene.service, "removed"))
    (release,) = [effect for effect in effects if isinstance(effect, Release)]
    assert CopyEnded(scene.service, NEAR.node_id, "removed", release.lease_id) in effects
    assert scene.tell(CopyEvent(scene.service, NEAR.node_id, release.request_id, LeaseReleased())) == []


def test_a_lease_granted_after_its_service_stopped_is_given_back() -> None:
    scene = Scene(an_app())
    scene.move(NEAR.node_id)
    scene.tell(ServiceStopped(scene.service, "removed"))
    assert released(scene.grant(NEAR_AT)) == [NEAR.node_id]


def test_answers_to_an_earlier_request_are_not_taken_for_answers_to_the_present_one() -> None:
    scene = Scene(an_app())
    scene.move(NEAR.node_id)
    (earlier,) = [effect.request_id for effect in scene.seen if isinstance(effect, Ask)]
    scene.tell(ServiceStopped(scene.service, "removed"))
    scene.start(scene.app)
    scene.move(NEAR.node_id)

    def late(event: SwitchEvent) -> list[Effect]:
        return scene.tell(CopyEvent(scene.service, NEAR.node_id, earlier, event))

    copy = scene.loop.services[scene.service].copies[NEAR.node_id]
    assert late(LeaseAnswered(refused="full")) == []
    effects = late(LeaseAnswered(lease=scene.lease(NEAR_AT, "earlier")))
    assert [effect.lease_id for effect in effects if isinstance(effect, Release | CopyEnded)] == ["earlier"] * 2
    assert copy.state is State.ASKING
    scene.grant(NEAR_AT)
    assert late(LeaseReleased()) == late(PollFailed("no such lease", gone=True)) == []
    assert copy.state is State.SERVING


def test_a_service_started_again_for_another_customer_keeps_its_copies_and_users() -> None:
    scene = Scene(an_app())
    scene.users()
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    scene.start(scene.app, Parent(FAR.node_id, f"{FAR_AT.gateway}/{scene.service}/"))
    running = scene.loop.services[scene.service]
    assert running.parent is not None and running.parent.node == FAR.node_id
    assert (list(running.users), list(running.copies)) == ([PREFIX], [NEAR.node_id])


class Broken:
    """A placer with a fault."""

    name = "broken"

    def place(self, problem: object) -> None:  # noqa: ARG002 - a placer's signature
        raise ZeroDivisionError("a fault in a plug-in")


def test_a_placer_that_fails_is_named_once_and_users_stay() -> None:
    def find(_name: str) -> Placer:
        return Broken()  # type: ignore[return-value]

    scene = Scene(an_app(placement="broken"), find)
    scene.users()
    scene.tell(RouteTraced(PREFIX, Route(USER, (), 80.0)))
    scene.tell(SiteSighted(PREFIX, Sighting(NEAR_AT.api, Source.STATIC)))
    scene.tell(RttMeasured(NEAR.node_id, PREFIX, 5.0))
    scene.tell(DiscoveryFinished(PREFIX))
    for _ in range(5):
        scene.now += 1
        scene.seen += scene.loop.wake(scene.now)
        scene.users()
    told = [reason for reason in reasons(scene.seen) if "a fault in a plug-in" in reason]
    assert told == ["placer 'broken': a fault in a plug-in"]
    assert asked(scene.seen) == []


def test_a_claim_to_be_at_an_address_does_not_hide_who_is_there() -> None:
    scene = Scene(an_app())
    scene.users()
    at = Endpoint("198.51.100.9", 7443)
    liar, honest = Identity.from_seed(b"l" * 32), Identity.from_seed(b"i" * 32)
    first = scene.tell(SiteSighted(PREFIX, Sighting(at, Source.DHT, liar.node_id)))
    second = scene.tell(SiteSighted(PREFIX, Sighting(at, Source.DNS)))
    assert [effect for effect in first + second if isinstance(effect, Identify)] == [
        Identify(at, liar.node_id),
        Identify(at, None),
    ]
    scene.tell(SiteIdentified(at, None, "another site is there", liar.node_id))
    scene.tell(SiteIdentified(at, a_record(honest, "198.51.100.9")))
    assert honest.node_id in scene.loop.located[PREFIX].sightings


def test_a_site_whose_record_ran_out_is_asked_again_who_it_is() -> None:
    scene = Scene(an_app())
    scene.users()
    sighted = SiteSighted(PREFIX, Sighting(NEAR_AT.api, Source.STATIC))
    assert not [effect for effect in scene.tell(sighted) if isinstance(effect, Identify)]
    scene.now += RECORD_LIFETIME_S
    assert not scene.loop.knows(NEAR_AT.api, scene.now)
    assert [effect for effect in scene.tell(sighted) if isinstance(effect, Identify)]
    scene.tell(SiteIdentified(NEAR_AT.api, a_record(NEAR, now=scene.now)))
    assert scene.loop.knows(NEAR_AT.api, scene.now)


def test_sites_in_use_are_not_forgotten_however_many_others_are_met() -> None:
    scene = Scene(an_app())
    scene.move(NEAR.node_id)
    scene.grant(NEAR_AT)
    for number in range(SITES_KNOWN + 10):
        node = NodeId(f"site-{number}")
        record = msgspec.structs.replace(FAR_AT, node=node, api=Endpoint(f"site-{number}", 7443))
        scene.tell(SiteIdentified(record.api, record))
    assert len(scene.loop.sites) == SITES_KNOWN
    assert NEAR.node_id in scene.loop.sites
    assert FAR.node_id not in scene.loop.sites
