"""How often, how long, how many. The values of LAN and WAN are those of hashicorp/memberlist, in use for years."""

import msgspec

from footloose.core.limits import MEMBERS_LIVE, MEMBERS_NEAR


class Config(msgspec.Struct, frozen=True):
    """All times in seconds. What it allows to vary is bounded by :mod:`footloose.core.limits`."""

    probe_interval_s: float
    """One member is probed so often."""
    probe_timeout_s: float
    """An answer is waited for so long before others are asked to try."""
    gossip_interval_s: float
    """Urgent news is sent on so often, besides riding on probes."""
    gossip_fanout: int
    """To so many members at a time."""
    exchange_interval_s: float
    """Longest time between two comparisons of what two members know (anti-entropy)."""
    suspicion_mult: int
    """A suspicion lasts at least so many probe intervals times log10 of the members."""
    reconnect_least_s: float
    """An unreachable member is tried again after so long…"""
    reconnect_most_s: float
    """…then ever more seldom, up to this."""
    region_epoch_s: float
    """Regions are summed up anew so often."""
    facts_interval_s: float
    """Shortest time between two changes of facts made known."""
    suspicion_max_mult: int = 6
    """…and at most so many times that, if nobody confirms it."""
    indirect_probes: int = 3
    """Members asked to try one that does not answer (k of SWIM)."""
    retransmit_mult: int = 4
    """News is passed on so many times log10 of the members (lambda of SWIM)."""
    facts_retransmits: int = 3
    """New facts of a neighbour are passed on so many times; the rest finds out by comparing."""
    health_most: int = 8
    """Most steps of local health: probes slow down by up to so many times (Lifeguard §IV.A)."""
    forget_after_s: float = 24 * 3600.0
    """Unreachable for so long is dead."""
    remember_gone_s: float = 3600.0
    """Members that left or died are remembered so long."""
    live: int = MEMBERS_LIVE
    """Members watched at a time. A larger number makes a larger system all know each other."""
    near: int = MEMBERS_NEAR
    """Members watched for being nearest."""
    lifeguard: bool = True
    """On: local health, suspicions that shorten, the buddy system (Lifeguard §IV). Off: SWIM of 2002."""
    buddy: bool = True
    """Whether, with ``lifeguard``, a suspect is told so by whoever pings it next (the buddy system alone)."""
    pause_aware: bool = True
    """Whether a site that finds it was not running for a while blames itself, not those whose answers it missed."""


LAN = Config(
    probe_interval_s=1.0,
    probe_timeout_s=0.5,
    gossip_interval_s=0.2,
    gossip_fanout=3,
    exchange_interval_s=30.0,
    suspicion_mult=4,
    reconnect_least_s=2.0,
    reconnect_most_s=60.0,
    region_epoch_s=60.0,
    facts_interval_s=10.0,
)
"""Sites within a few milliseconds of each other."""

WAN = Config(
    probe_interval_s=5.0,
    probe_timeout_s=3.0,
    gossip_interval_s=0.5,
    gossip_fanout=4,
    exchange_interval_s=60.0,
    suspicion_mult=6,
    reconnect_least_s=5.0,
    reconnect_most_s=120.0,
    region_epoch_s=300.0,
    facts_interval_s=30.0,
)
"""Sites all over, links that lose packets now and then."""


def plain_swim(config: Config) -> Config:
    """The same without what Lifeguard adds, to compare with."""
    return msgspec.structs.replace(config, lifeguard=False, pause_aware=False)


def only(config: Config, *, health: bool = False, suspicion: bool = False, buddy: bool = False) -> Config:
    """The same with some of what Lifeguard adds (§IV.A, B and C) and nothing else, to compare with."""
    return msgspec.structs.replace(
        config,
        health_most=config.health_most if health else 1,
        suspicion_max_mult=config.suspicion_max_mult if suspicion else 1,
        buddy=buddy,
        pause_aware=False,
    )
