"""What this site answers other sites: who it is, probes, leases. Bytes in, values out, however they travel."""

import logging
from http import HTTPStatus

from footloose.core.clock import Clock
from footloose.core.codec import Signed, decode, sign
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import READING_PREFIXES, TERMS_TEXT_CHARS
from footloose.core.printable import printable
from footloose.market.desk import NoSuchLease
from footloose.model.terms import LeaseAnswer, LeaseEnd, LeasePoll, LeaseRequest, ProbeAnswer, ProbeRequest
from footloose.node.host import Host
from footloose.node.probes import Probes
from footloose.node.profile import Profile
from footloose.transport.problems import Refused
from footloose.transport.signatures import Evidence

log = logging.getLogger(__name__)


class Answers:
    """``host`` starts and ends copies, ``profile`` makes this site's record, ``probes`` measures.

    All raise :class:`RemoteError` if what is asked makes no sense.
    """

    def __init__(self, identity: Identity, clock: Clock, profile: Profile, host: Host, probes: Probes) -> None:
        self._identity = identity
        self._clock = clock
        self._profile = profile
        self._host = host
        self._probes = probes

    def site(self) -> Signed:
        """This site's signed record."""
        return sign(self._profile.record(self._clock.now()), self._identity)

    async def probe(self, body: bytes, caller: NodeId) -> ProbeAnswer:
        """Measure the round trip to a user of the caller's service."""
        wanted = decode(body, ProbeRequest)
        return ProbeAnswer(await self._probes.measure(wanted.address, caller))

    async def lease(self, body: bytes, caller: NodeId, evidence: Evidence) -> LeaseAnswer:
        """Run a service for the caller; the signed lease once it serves, or why not."""
        wanted = decode(body, LeaseRequest)
        try:
            return await self._host.lease(wanted, caller, evidence)
        except RemoteError as error:
            log.info("lease refused: %s", error)
            return LeaseAnswer(refused=str(error))

    def poll(self, lease_id: str, body: bytes, caller: NodeId) -> LeaseAnswer:
        """How a copy fares, and another term if asked for. Raises :class:`Refused` if there is no such lease."""
        wanted = decode(body, LeasePoll)
        try:
            return self._host.poll(lease_id, caller, renew=wanted.renew, hold=wanted.hold, prefixes=READING_PREFIXES)
        except NoSuchLease as error:
            raise _not_found(error) from error

    def end(self, lease_id: str, body: bytes, caller: NodeId) -> None:
        """The caller wants its copy no more. Raises :class:`Refused` if there is no such lease."""
        reason = printable(decode(body, LeaseEnd).reason, TERMS_TEXT_CHARS)
        try:
            self._host.release(lease_id, caller, reason)
        except NoSuchLease as error:
            raise _not_found(error) from error


def _not_found(error: NoSuchLease) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, error.what, where=error.where, fix=error.fix)
