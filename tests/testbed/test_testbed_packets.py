"""Bytes of packets."""

from hypothesis import given
from hypothesis import strategies as st
from testbed_packets import ip_packet, ping, udp

from footloose.testbed import packets

addresses = st.integers(0, 2**32 - 1).map(lambda number: ".".join(str(byte) for byte in number.to_bytes(4, "big")))


def header_is_right(packet: bytes) -> bool:
    return packets.checksum(packet[: (packet[0] & 15) * 4]) == 0


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert packets.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
    assert packets.checksum(b"\x01") == 0xFFFF - 0x0100
    assert packets.checksum(b"") == 0xFFFF


@given(addresses, addresses, st.integers(1, 255), st.binary(max_size=40), st.data())
def test_an_aged_header_is_as_if_made_anew(
    source: str, target: str, ttl: int, payload: bytes, data: st.DataObject
) -> None:
    hops = data.draw(st.integers(0, ttl))
    packet = ip_packet(source, target, payload, ttl=ttl)
    aged = packets.aged(packet, hops)
    assert header_is_right(bytes(aged))
    assert aged == ip_packet(source, target, payload, ttl=ttl - hops)


@given(addresses, addresses, st.binary(max_size=1480), st.sampled_from([3, 11]), st.integers(0, 15))
def test_an_error_is_whole_and_quotes_its_cause(source: str, target: str, payload: bytes, kind: int, code: int) -> None:
    cause = ip_packet(source, target, payload)
    error = packets.icmp_error(kind, code, cause, b"\x0a\0\0\x01")
    assert packets.whole(error)
    assert header_is_right(error)
    assert packets.checksum(error[20:]) == 0
    assert len(error) <= 576
    assert (error[20], error[21]) == (kind, code)
    assert cause.startswith(error[28:])
    assert len(error[28:]) >= min(len(cause), 28)
    assert not packets.may_cause_error(error)


def test_an_echo_reply_gives_back_what_came() -> None:
    request = ping("10.128.0.10", "10.0.0.1", sequence=77)
    reply = packets.echo_reply(request)
    assert header_is_right(reply)
    assert packets.checksum(reply[20:]) == 0
    assert reply[12:16] == request[16:20]
    assert reply[20] == packets.ECHO_REPLY
    assert reply[24:] == request[24:]


def test_no_error_is_sent_about_errors_fragments_and_groups() -> None:
    packet = udp("10.128.0.10", "10.128.1.10")
    assert packets.may_cause_error(packet)
    assert packets.may_cause_error(ping("10.128.0.10", "10.128.1.10"))
    assert not packets.may_cause_error(packet[:6] + b"\x00\x10" + packet[8:])
    assert not packets.may_cause_error(udp("10.128.0.10", "224.0.0.1"))


@given(st.binary(max_size=80))
def test_garbage_is_not_taken_for_a_packet(data: bytes) -> None:
    if packets.whole(data):
        assert data[0] >> 4 == 4
        assert len(data) >= 20
