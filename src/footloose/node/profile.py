"""What this site says of itself."""

from footloose.core.identity import NodeId
from footloose.core.limits import RECORD_LIFETIME_S
from footloose.model.site import Endpoint, ProviderId, SiteRecord
from footloose.node.config import NodeConfig


class Profile:
    """Makes this site's record."""

    def __init__(self, config: NodeConfig, node: NodeId) -> None:
        self._config = config
        self.node = node
        self.provider = ProviderId(node)
        self.api = Endpoint(config.address, config.api_port)
        self.dht = Endpoint(config.address, config.dht_port)
        self.membership = Endpoint(config.address, config.membership_port) if config.membership != "off" else None
        self.gateway = config.gateway_url or _origin(Endpoint(config.address, config.gateway_port))

    def record(self, now: float) -> SiteRecord:
        """The record as of ``now``."""
        return SiteRecord(
            node=self.node,
            provider=self.provider,
            name=self._config.name,
            api=self.api,
            gateway=self.gateway,
            issued_at=now,
            expires_at=now + RECORD_LIFETIME_S,
            region=self._config.region,
            price_per_hour=self._config.price_per_hour,
            dht=self.dht,
            membership=self.membership,
        )


def _origin(at: Endpoint) -> str:
    """``http://host:port`` as browsers write it: without the port if that is the usual one (RFC 6454 §6.1)."""
    return f"http://{at}".removesuffix(":80")
