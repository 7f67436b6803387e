"""Things a site may have to remember, made up; and a clock that stands."""

from footloose.core.codec import Signed, sign
from footloose.core.digest import digest_of
from footloose.core.identity import Identity
from footloose.core.limits import RECORD_LIFETIME_S
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.site import Endpoint, ProviderId, SiteRecord
from footloose.model.terms import Lease, LeaseRequest

OWNER = Identity.from_seed(b"o" * 32)
PROVIDER = Identity.from_seed(b"p" * 32)
CUSTOMER = Identity.from_seed(b"c" * 32)
NOW = 1_700_000_000.0


class StandingClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


def app(name: str = "shop", version: int = 1, owner: Identity = OWNER) -> Signed:
    service = Service("web", digest_of(name.encode()), GuestKind.HANDLER)
    return sign(App(name, owner.node_id, (service,), version), owner)


def request(number: int = 0) -> LeaseRequest:
    return LeaseRequest(f"request-{number}", CUSTOMER.node_id, app(), "web", 60.0, "http://parent:8080", "token", 1.0)


def lease(number: int = 0, *, starts_at: float = NOW) -> Signed:
    service, artifact = ServiceId("shop-x/web"), digest_of(b"shop")
    return sign(
        Lease(
            lease_id=f"lease-{number}",
            provider_node=PROVIDER.node_id,
            customer=CUSTOMER.node_id,
            service=service,
            artifact=artifact,
            starts_at=starts_at,
            ends_at=starts_at + 60,
            grace_s=3600.0,
            price_per_hour=1.0,
            url="http://copy:8080/shop-x/web/",
        ),
        PROVIDER,
    )


def decision(number: int, service: str = "shop-x/web") -> Decision:
    inputs = {"rtt_ms": 1.5, "number": number}
    return Decision(
        NOW, PROVIDER.node_id, ServiceId(service), "choose", f"subject {number}", "chosen", "nearest", inputs
    )


def record(identity: Identity, *, issued_at: float = NOW, name: str = "edge") -> Signed:
    return sign(
        SiteRecord(
            node=identity.node_id,
            provider=ProviderId(identity.node_id),
            name=name,
            api=Endpoint("192.0.2.1", 7300),
            gateway="http://192.0.2.1:8080",
            issued_at=issued_at,
            expires_at=issued_at + RECORD_LIFETIME_S,
        ),
        identity,
    )
