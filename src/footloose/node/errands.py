"""Runs what the loop wants done elsewhere, and tells it how that went: always, also where it failed."""

import asyncio
import logging
from collections.abc import Callable

from footloose.core.errors import FootlooseError
from footloose.core.identity import short
from footloose.core.limits import DISCOVERIES_AT_ONCE, QUESTIONS_AT_ONCE
from footloose.migration.switch import (
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollFailed,
    Release,
    Send,
)
from footloose.node.copies import Copies
from footloose.node.driver import Tasks
from footloose.node.finding import Finding
from footloose.orchestrator.messages import (
    CopyEvent,
    Discover,
    DiscoveryFinished,
    Event,
    Identify,
    Measure,
    RouteTraced,
    RttMeasured,
    SiteIdentified,
    Trace,
)
from footloose.transport.problems import Refused

log = logging.getLogger(__name__)

Errand = Trace | Discover | Identify | Measure | Ask | Send | Poll | Release


class Errands:
    """One task per errand. ``tell`` feeds the loop."""

    def __init__(self, finding: Finding, copies: Copies, tell: Callable[[Event], None]) -> None:
        self._finding = finding
        self._copies = copies
        self._tell = tell
        self._tasks = Tasks()
        # Polls take no turns: what is found out about new users must not make copies seem silent.
        self._questions = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._discoveries = asyncio.Semaphore(DISCOVERIES_AT_ONCE)

    def run(self, errand: Errand) -> None:
        """Set off; the loop is told the outcome when there is one."""
        if isinstance(errand, Release):
            self._copies.wanted_no_more(errand)
        self._tasks.start(self._run(errand), _name(errand))

    async def close(self) -> None:
        """Give up all errands under way, and run no more."""
        await self._tasks.close()

    async def _run(self, errand: Errand) -> None:
        try:
            event = await self._outcome(errand)
        except FootlooseError as error:
            event = failure(errand, str(error), answered=isinstance(error, Refused))
        except Exception:
            # The loop waits for an answer: without one it would wait for ever.
            log.exception("%s failed", _name(errand))
            event = failure(errand, "this site failed to do it, see its log")
        self._tell(event)

    async def _outcome(self, errand: Errand) -> Event:
        match errand:
            case Trace():
                return await self._finding.trace(errand)
            case Discover():
                async with self._discoveries:
                    return await self._finding.discover(errand)
            case Identify():
                async with self._questions:
                    return await self._finding.identify(errand)
            case Measure():
                async with self._questions:
                    return await self._finding.measure(errand)
            case Ask():
                return CopyEvent(errand.service, errand.site, errand.request_id, await self._copies.ask(errand))
            case Send():
                return CopyEvent(errand.service, errand.site, errand.request_id, await self._copies.send(errand))
            case Poll():
                return CopyEvent(errand.service, errand.site, errand.request_id, await self._copies.poll(errand))
            case Release():
                return CopyEvent(errand.service, errand.site, errand.request_id, await self._copies.release(errand))


def failure(errand: Errand, reason: str, *, answered: bool = True) -> Event:
    """What the loop is told of an errand that failed; ``answered`` False if the other site could not be reached."""
    match errand:
        case Trace():
            return RouteTraced(errand.prefix, None, reason)
        case Discover():
            return DiscoveryFinished(errand.prefix, (reason,))
        case Identify():
            return SiteIdentified(errand.endpoint, None, reason, errand.node)
        case Measure():
            return RttMeasured(errand.by, errand.prefix, None, reason, answered=False)
        case Ask():
            refused = LeaseAnswered(refused=reason, unreached=not answered)
            return CopyEvent(errand.service, errand.site, errand.request_id, refused)
        case Send():
            return CopyEvent(
                errand.service,
                errand.site,
                errand.request_id,
                ArtifactSent(failed=f"sending the code failed: {reason}"),
            )
        case Poll():
            return CopyEvent(errand.service, errand.site, errand.request_id, PollFailed(reason))
        case Release():
            return CopyEvent(errand.service, errand.site, errand.request_id, LeaseReleased())


def _name(errand: Errand) -> str:
    match errand:
        case Trace() | Discover():
            about: object = errand.prefix
        case Identify():
            about = errand.endpoint
        case Measure():
            about = f"{errand.prefix} by {short(errand.by)}"
        case _:
            about = f"{errand.service} at {short(errand.site)}"
    return f"{type(errand).__name__.lower()} {about}"
