"""What a member does about those who lie, forge, repeat, flood, or use its name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from membership_network import Network, Site, identity_of, node_name

from footloose.core.limits import MEMBERSHIP_NEWS, MEMBERSHIP_PINGS, MEMBERSHIP_REGIONS, MEMBERSHIP_RELAYS
from footloose.membership.card import Accusation, Card, Facts
from footloose.membership.config import LAN
from footloose.membership.events import Drop, Received, Send
from footloose.membership.messages import (
    Ack,
    Delta,
    Exchange,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    RegionSketch,
    Relayed,
)
from footloose.membership.notary import IdentityNotary
from footloose.membership.regions import REGISTERS
from footloose.membership.states import MemberState
from footloose.membership.wire import news_bytes
from footloose.model.site import Endpoint
from footloose.simulation.network import Conditions
from footloose.topology.coordinates import NOWHERE, Coordinate

S = MemberState


def signed_network(count: int, seed: int = 1) -> Network:
    """Sites that sign with the keys of their names."""
    network = Network(seed)
    for number in range(count):
        network.add(notary=IdentityNotary(identity_of(number)))
        network.run(0.2)
    network.run_until(network.agree, most_s=30)
    return network


def say(network: Network, liar: Site, to: Site, message: Message) -> None:
    network.give(to, Received(message, liar.node, liar.address))


def changed(card: Card, **what: Any) -> Card:
    return msgspec.structs.replace(card, **what)


# Lies


def test_cards_nobody_signed_change_nothing() -> None:
    network = signed_network(4)
    target, victim, liar = network.sites[0], network.sites[2], network.sites[3]
    card = victim.machine.card
    incarnation, run, serial = card.version
    forged = [
        changed(card, version=(incarnation + 1, run, serial + 1), left=True),
        changed(card, version=(incarnation + 9, run, serial), address=liar.address),
        changed(card, version=(incarnation, run, serial + 1), facts=Facts(load_percent=99)),
        changed(card, version=(incarnation + 1, run + 1, 1)),
        changed(card, node=node_name(77)),
    ]
    say(network, liar, target, Gossip(tuple(forged)))
    assert target.machine.dropped[Drop.UNSIGNED] == len(forged)
    shown = target.machine.member(victim.node)
    assert shown is not None
    assert (shown.state, shown.address, shown.facts) == (S.ALIVE, victim.address, card.facts)
    assert target.machine.member(node_name(77)) is None


def test_accusations_in_others_names_change_nothing() -> None:
    network = signed_network(4)
    target, victim, witness, liar = network.sites
    forged = Accusation(witness.node, victim.node, victim.machine.card.version[0], b"x" * 64)
    say(network, liar, target, Gossip((forged,)))
    assert target.machine.dropped[Drop.UNSIGNED] == 1
    assert target.states()[victim.node] is S.ALIVE


def test_a_member_that_accuses_everybody_all_the_time_brings_nobody_down() -> None:
    network = signed_network(8, seed=2)
    liar, honest = network.sites[7], network.sites[:7]
    notary = IdentityNotary(identity_of(7))
    for _ in range(60):
        for victim in honest:
            accusation = Accusation(liar.node, victim.node, victim.machine.card.version[0])
            for other in honest:
                say(network, liar, other, Gossip((notary.sign_accusation(accusation),)))
        network.run(1.0)
    network.run(15)
    lost = [change for site in honest for _, change in site.changes if change.after is S.UNREACHABLE]
    assert lost == []
    assert network.agree()


def test_one_liar_with_many_names_counts_once() -> None:
    network = signed_network(8, seed=3)
    target, victim = network.sites[0], network.sites[1]
    incarnation = victim.machine.card.version[0]
    for number in range(100, 120):
        accusation = Accusation(node_name(number), victim.node, incarnation)
        signed = IdentityNotary(identity_of(number)).sign_accusation(accusation)
        network.give(target, Received(Gossip((signed,)), node_name(number), Endpoint("10.9.9.9", 1)))
    suspicion = target.machine.view.members[victim.node].suspicion
    assert suspicion is not None
    assert len(suspicion.accusers) == 1
    network.run(20)
    assert target.states()[victim.node] is S.ALIVE


def test_an_answer_nobody_asked_for_is_dropped() -> None:
    network = signed_network(4)
    target, liar = network.sites[0], network.sites[3]
    before = target.machine.coordinate
    for message in (Ack(12345, NOWHERE), Relayed(12345), Nack(12345)):
        say(network, liar, target, message)
    assert target.machine.dropped[Drop.UNEXPECTED] == 3
    assert target.machine.coordinate == before


def test_an_answer_by_somebody_else_or_from_elsewhere_is_dropped() -> None:
    network = signed_network(3)
    site = network.sites[0]
    sends: list[Send] = []
    while not sends:
        network.run(0.013)  # no divisor of the probe interval
        probe = site.machine._probe
        if probe is not None:
            sends = [Send(Ping(probe.seq), probe.member.node, probe.address)]
    (send,) = sends
    other = next(one for one in network.sites[1:] if one.node != send.to)
    assert isinstance(send.message, Ping)
    network.give(site, Received(Ack(send.message.seq, NOWHERE), other.node, other.address))
    assert send.to is not None
    network.give(site, Received(Ack(send.message.seq, NOWHERE), send.to, Endpoint("10.99.0.1", 7946)))
    assert site.machine.dropped[Drop.UNEXPECTED] == 2


def test_what_was_not_addressed_to_this_node_is_ignored_except_a_first_ping() -> None:
    network = signed_network(3)
    target, other = network.sites[0], network.sites[1]
    for message in (Gossip(()), Exchange((), 0, 9, NOWHERE), Delta(()), Nack(1)):
        network.give(target, Received(message, other.node, other.address, addressed=False))
    assert target.machine.dropped[Drop.UNEXPECTED] == 4


def test_a_doubt_repeated_costs_a_site_one_new_card_at_a_time() -> None:
    network = signed_network(4)
    target, liar = network.sites[0], network.sites[3]
    before = target.machine.card.version[0]
    for _ in range(50):
        say(network, liar, target, Ping(1, target.machine.card.version, doubted=True))
    assert target.machine.card.version[0] == before + 1


# Addresses that are not the sender's


def sent_back(site: Site, event: Received, now: float) -> list[Send]:
    return [effect for effect in site.machine.receive(event, now) if isinstance(effect, Send)]


def test_who_has_not_shown_where_it_is_gets_no_more_than_it_sent() -> None:
    network = signed_network(6)
    site, victim = network.sites[0], Endpoint("10.50.0.1", 53)
    stranger = identity_of(500)
    card = IdentityNotary(stranger).sign_card(Card(stranger.node_id, victim, (5, 5, 5), False, Facts()))
    ping = Received(Ping(1, news=(card,)), stranger.node_id, victim)
    back = sent_back(site, ping, network.now)
    assert sum(news_bytes(news) for send in back for news in getattr(send.message, "news", ())) <= 3 * news_bytes(card)
    for message in (Exchange((), 0, 2**32 - 1, NOWHERE), PingRequest(2, node_name(1), network.sites[1].address)):
        assert sent_back(site, Received(message, stranger.node_id, victim), network.now) == []
    assert site.machine.dropped[Drop.UNPROVEN] == 2


def test_who_shows_the_token_sent_to_its_address_is_answered_there_and_only_there() -> None:
    network = signed_network(6)
    site, there = network.sites[0], Endpoint("10.50.0.1", 53)
    (answer,) = sent_back(site, Received(Ping(1), node_name(500), there), network.now)
    assert isinstance(answer.message, Ack)
    token = answer.message.token
    exchange = Exchange((), 0, 2**32 - 1, NOWHERE, token)
    assert sent_back(site, Received(exchange, node_name(500), there), network.now)
    assert not sent_back(site, Received(exchange, node_name(500), Endpoint("10.50.0.2", 53)), network.now)
    assert not sent_back(site, Received(exchange, node_name(501), there), network.now)
    assert not sent_back(site, Received(exchange, node_name(500), there), network.now + 4000)


# One name, two processes


def test_two_processes_with_one_identity_are_reported_by_themselves_and_by_others() -> None:
    network = Network(41)
    sites = network.grow(8)
    network.run_until(network.agree, most_s=30)
    twin = network.add(node=sites[3].node)
    network.run(180)
    reports = {conflict.node for site in network.sites for conflict in site.conflicts}
    assert reports == {sites[3].node}
    assert sites[3].conflicts or twin.conflicts
    assert sum(bool(site.conflicts) for site in network.sites if site.node != twin.node) >= 3
    # They do not fill the network with their quarrel.
    assert all(len(site.conflicts) <= 180 / 30 + 1 for site in network.sites)


def test_a_site_whose_clock_was_ahead_before_it_restarted_is_no_conflict() -> None:
    network = Network(42)
    sites = network.grow(6)
    network.run(20)
    network.kill(sites[2])
    ahead = sites[2].machine.card
    for site in network.running():
        member = site.machine.view.members[sites[2].node]
        site.machine.view.renew(member, changed(ahead, version=(ahead.version[0] + 5000, *ahead.version[1:])))
    again = network.add(node=sites[2].node)
    network.run_until(network.agree, most_s=120)
    assert again.machine.card.version[0] > ahead.version[0] + 5000
    assert not any(site.conflicts for site in network.sites)


# Floods


def test_a_flood_of_distinct_senders_fills_no_table() -> None:
    network = Network(43)
    sites = network.grow(10)
    network.run(20)
    target, real = sites[0], {site.node for site in sites[1:]}
    for number in range(20_000):
        # As if proven by their keys: names cost nothing.
        node = f"{number:052}"
        address = Endpoint(f"10.200.{number // 250 % 250}.{number % 250 + 1}", 1000 + number % 60_000)
        card = Card(node, address, (1, 1, 1), False, Facts(region=f"r{number}"))  # type: ignore[arg-type]
        sketch = RegionSketch(f"r{number}", int(network.now // LAN.region_epoch_s), bytes([7] * REGISTERS))
        target.machine.receive(Received(Ping(number, news=(card,), sketch=sketch), card.node, address), network.now)
    machine = target.machine
    assert len(machine.view.live) <= LAN.live + 8
    assert len(machine.view.members) <= LAN.live + 8 + 512
    assert len(machine._pings) <= MEMBERSHIP_PINGS
    assert len(machine._urgent) <= MEMBERSHIP_NEWS
    assert len(machine._regions) <= MEMBERSHIP_REGIONS
    # Strangers never answer at their addresses, and in time make room again.
    network.run(240)
    assert real <= target.live() | {site.node for site in sites if site is target}


def test_requests_to_ping_are_bounded() -> None:
    network = signed_network(5)
    target, asker = network.sites[0], network.sites[1]
    for seq in range(5 * MEMBERSHIP_RELAYS):
        say(network, asker, target, PingRequest(seq, node_name(900), Endpoint("10.77.0.1", 1)))
    assert len(target.machine._pings) <= MEMBERSHIP_RELAYS + 2


# Anything at all

counts = st.integers(0, 2**63 - 1)
tags = st.integers(0, 2**32 - 1)
versions = st.tuples(counts, counts, counts)
nodes = st.integers(0, 12).map(node_name)
places = st.builds(
    Coordinate,
    st.tuples(*[st.floats(-1000, 1000)] * 5),
    st.floats(0.1, 1000),
    st.floats(0, 1.5),
    st.floats(-100, 100),
)
facts = st.builds(
    Facts, st.text(max_size=8), st.text(max_size=8), st.integers(0, 99), st.integers(0, 99), counts, places
)
addresses = st.builds(Endpoint, st.integers(1, 20).map("10.0.0.{}".format), st.integers(1, 65535))
news = st.lists(
    st.builds(Card, nodes, addresses, versions, st.booleans(), facts) | st.builds(Accusation, nodes, nodes, counts),
    max_size=6,
).map(tuple)
sketches = st.none() | st.builds(
    RegionSketch, st.text(max_size=4), st.integers(28_333_330, 28_333_340), st.binary(min_size=128, max_size=128)
)
messages = st.one_of(
    st.builds(Ping, tags, versions, st.booleans(), news, sketches),
    st.builds(Ack, tags, places, tags, news, sketches),
    st.builds(PingRequest, tags, nodes, addresses, versions, st.booleans(), tags),
    st.builds(Relayed, tags, news),
    st.builds(Nack, tags),
    st.builds(Gossip, news),
    st.builds(Exchange, st.lists(counts, max_size=112).map(tuple), tags, tags, places, tags),
    st.builds(Delta, news, st.lists(tags, max_size=24).map(tuple)),
)
steps = st.lists(
    st.tuples(messages, nodes, addresses, st.booleans(), st.floats(0, 30)),
    max_size=40,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_nothing_that_can_be_said_breaks_a_member_or_its_bounds(
    steps: list[tuple[Message, Any, Endpoint, bool, float]],
) -> None:
    network = Network(44)
    site = network.grow(3)[1]
    network.run(5)
    for message, sender, source, addressed, pause_s in steps:
        if sender == site.node:
            continue
        network.give(site, Received(message, sender, source, addressed))
        network.run(pause_s)
        view = site.machine.view
        assert len(view.live) <= LAN.live + 8
        assert {member.node for member in view.live} == {
            member.node for member in view.members.values() if member.state in (S.ALIVE, S.SUSPECT)
        }
        assert set(view.lost) == {node for node, one in view.members.items() if one.state is S.UNREACHABLE}
        assert site.machine.coordinate.valid()
        assert site.machine.next_deadline() is not None


@pytest.mark.parametrize("seed", [1, 2])
def test_copies_of_everything_sent_do_no_harm(seed: int) -> None:
    network = Network(seed, loss=0.02)
    sites = network.grow(10)
    network.run_until(network.agree, most_s=60)
    network.network.conditions = Conditions(loss=0.02, duplicate=0.5)
    for site in sites:
        site.changes.clear()
    network.run(60)
    assert [change for site in sites for _, change in site.changes if change.after is S.UNREACHABLE] == []
    assert network.agree()
