"""Signatures of requests, replay, and evidence that proves later what was said."""

import base64
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transport_site import Site

from footloose.core.clock import SystemClock
from footloose.core.codec import decode, encode
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import CLOCK_SKEW_S
from footloose.transport.client import PeerClient
from footloose.transport.problems import NotAuthenticated, Refused
from footloose.transport.signatures import (
    Evidence,
    Message,
    ReplayGuard,
    RequestSigner,
    SignedHead,
    check_body,
    check_time,
    content_digest,
    evidence_of,
    verify_evidence,
    verify_head,
)

CALLER = Identity.from_seed(b"c" * 32)
SITE = Identity.from_seed(b"s" * 32).node_id
NOW = 1_700_000_000.0
URL = "https://site.example:7300/v1/leases?x=1"
BODY = b'{"term_s":60}'


def signed(body: bytes = BODY, *, now: float = NOW, method: str = "POST", url: str = URL) -> Message:
    headers = RequestSigner(CALLER).headers(method, url, to=SITE, digest=content_digest(body), now=now)
    return Message(method, url, headers)


def changed(message: Message, **headers: str | None) -> Message:
    names = {name.replace("_", "-").title(): value for name, value in headers.items()}
    kept = {name: value for name, value in {**message.headers, **names}.items() if value is not None}
    return Message(message.method, message.url, kept)


def parameters(message: Message, old: str, new: str) -> Message:
    before = message.headers["Signature-Input"]
    assert old in before
    return changed(message, signature_input=before.replace(old, new))


def test_a_signed_request_says_who_asked_whom_for_what() -> None:
    head = verify_head(signed())
    assert (head.caller, head.to, head.method, head.url) == (CALLER.node_id, SITE, "POST", URL)
    assert head.created == int(NOW)
    check_body(head, BODY)
    check_time(head, NOW)


@pytest.mark.parametrize(
    ("tampered", "why"),
    [
        (changed(signed(), signature=None), "Signature"),
        (changed(signed(), signature_input=None), "Signature-Input"),
        (changed(signed(), content_digest=content_digest(b"other")), "does not fit"),
        (changed(signed(), footloose_to=CALLER.node_id), "does not fit"),
        (changed(signed(), footloose_to=None), "not found"),
        (Message("PUT", URL, signed().headers), "does not fit"),
        (Message("POST", URL + "1", signed().headers), "does not fit"),
        (Message("POST", URL.replace("site", "other"), signed().headers), "does not fit"),
        (Message("POST", "https://", signed().headers), "request signature"),
        (parameters(signed(), 'alg="ed25519"', 'alg="rsa-pss-sha512"'), "algorithm"),
        (parameters(signed(), 'alg="ed25519"', 'alg="none"'), "algorithm"),
        (parameters(signed(), f'keyid="{CALLER.node_id}"', 'keyid="nobody"'), "not a node id"),
        (parameters(signed(), f'keyid="{CALLER.node_id}"', f'keyid="{SITE}"'), "does not fit"),
        (parameters(signed(), 'tag="footloose"', 'tag="other"'), "tag"),
        (parameters(signed(), '"content-digest" ', ""), "does not fit"),
        (parameters(signed(), f"created={int(NOW)}", f"created={int(NOW) + 1}"), "does not fit"),
        (parameters(signed(), f"created={int(NOW)}", "created=soon"), "created"),
        (changed(signed(), signature="footloose=:AAAA:"), "does not fit"),
        (changed(signed(), signature="other=:AAAA:"), "labels"),
        (changed(signed(), signature="("), "Malformed"),
    ],
)
def test_a_tampered_request_is_refused_and_told_why(tampered: Message, why: str) -> None:
    with pytest.raises(NotAuthenticated, match=why):
        verify_head(tampered)


def resigned(components: tuple[str, ...], parameters: str) -> Message:
    """A genuine signature of the caller's choice, made by hand from RFC 9421 §2.5."""
    values = {
        "@method": "POST",
        "@target-uri": URL,
        "@path": "/v1/leases",
        "content-digest": content_digest(BODY),
        "footloose-to": SITE,
    }
    params = "(" + " ".join(f'"{name}"' for name in components) + ")" + parameters
    lines = [f'"{name}": {values[name]}' for name in components] + [f'"@signature-params": {params}']
    signature = base64.b64encode(CALLER.sign("\n".join(lines).encode())).decode()
    sent = {"Content-Digest": values["content-digest"], "Footloose-To": SITE}
    return Message("POST", URL, {**sent, "Signature-Input": f"sig1={params}", "Signature": f"sig1=:{signature}:"})


FULL = ("@method", "@target-uri", "content-digest", "footloose-to")
PARAMETERS = f';created={int(NOW)};keyid="{CALLER.node_id}";nonce="0123456789";tag="footloose"'


def test_a_signature_made_by_hand_is_accepted_in_any_order() -> None:
    assert verify_head(resigned(FULL, PARAMETERS)).nonce == "0123456789"
    assert verify_head(resigned(FULL[::-1], PARAMETERS)).caller == CALLER.node_id


@pytest.mark.parametrize("missing", FULL)
def test_a_genuine_signature_that_leaves_a_part_uncovered_is_refused(missing: str) -> None:
    with pytest.raises(NotAuthenticated, match="covers other parts"):
        verify_head(resigned(tuple(name for name in FULL if name != missing), PARAMETERS))


def test_covering_the_path_alone_is_not_enough() -> None:
    with pytest.raises(NotAuthenticated, match="covers other parts"):
        verify_head(resigned(("@method", "@path", "content-digest", "footloose-to"), PARAMETERS))


@pytest.mark.parametrize("missing", ["created", "keyid", "nonce", "tag"])
def test_a_genuine_signature_without_a_parameter_is_refused(missing: str) -> None:
    kept = ";".join(part for part in PARAMETERS.split(";") if not part.startswith(missing))
    with pytest.raises(NotAuthenticated):
        verify_head(resigned(FULL, kept))


def test_a_nonce_that_is_too_short_to_be_one_is_refused() -> None:
    with pytest.raises(NotAuthenticated, match="nonce"):
        verify_head(resigned(FULL, PARAMETERS.replace("0123456789", "1")))


def test_a_parameter_we_do_not_know_is_refused() -> None:
    with pytest.raises(NotAuthenticated, match="parameters"):
        verify_head(resigned(FULL, PARAMETERS + f";expires={int(NOW)}"))


def test_another_body_than_the_signed_one_is_refused() -> None:
    with pytest.raises(NotAuthenticated, match="body"):
        check_body(verify_head(signed()), BODY + b" ")


@given(st.floats(-1e6, 1e6))
def test_a_request_is_good_for_the_clock_skew_and_no_longer(off_s: float) -> None:
    head = verify_head(signed())
    if abs(off_s) <= CLOCK_SKEW_S:
        check_time(head, NOW + off_s)
    else:
        with pytest.raises(NotAuthenticated, match="set the clocks"):
            check_time(head, NOW + off_s)


@given(st.dictionaries(st.sampled_from(["Signature", "Signature-Input", "Content-Digest", "Footloose-To"]), st.text()))
def test_garbage_in_the_headers_is_refused_and_nothing_worse(headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated):
        verify_head(Message("POST", URL, {**signed().headers, **headers} if len(headers) > 1 else headers))


# Replay


def head_of(nonce: str, *, caller: str = "a", created: int = 1000) -> SignedHead:
    return SignedHead(NodeId(caller), SITE, "GET", URL, "", created, nonce, "", b"")


def test_a_request_is_admitted_once() -> None:
    guard = ReplayGuard()
    guard.admit(head_of("one"), 1000)
    guard.admit(head_of("two"), 1000)
    guard.admit(head_of("one", caller="b"), 1000)
    with pytest.raises(NotAuthenticated, match="made before"):
        guard.admit(head_of("one"), 1000)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from("mnop"), st.integers(-200, 200), st.floats(0, 20, allow_nan=False)
        ),
        max_size=60,
    )
)
def test_a_request_that_is_still_timely_is_never_admitted_twice(calls: list[tuple[str, str, int, float]]) -> None:
    guard, now, admitted = ReplayGuard(), 1000.0, set[tuple[str, str, int]]()
    for caller, nonce, off_s, passes_s in calls:
        now += passes_s
        head = head_of(nonce, caller=caller, created=int(now) + off_s)
        try:
            check_time(head, now)
            guard.admit(head, now)
        except NotAuthenticated:
            continue
        assert (caller, nonce, head.created) not in admitted
        admitted.add((caller, nonce, head.created))
    live = {(caller, nonce) for caller, nonce, created in admitted if created + CLOCK_SKEW_S >= now}
    assert sum(len(nonces) for nonces in guard._seen.values()) == len(guard._due)
    assert live <= {(caller, nonce) for caller, nonces in guard._seen.items() for nonce in nonces}


def test_one_caller_cannot_use_up_the_memory_of_all() -> None:
    guard = ReplayGuard(capacity=10, per_caller=3)
    for number in range(3):
        guard.admit(head_of(f"{number}"), 1000)
    with pytest.raises(Refused) as caught:
        guard.admit(head_of("3"), 1000)
    assert caught.value.status == 429
    guard.admit(head_of("0", caller="b"), 1000)
    guard.admit(head_of("4", created=1100), 1000 + CLOCK_SKEW_S + 1)


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    guard = ReplayGuard(capacity=2, per_caller=2)
    guard.admit(head_of("0", caller="a"), 1000)
    guard.admit(head_of("0", caller="b"), 1000)
    with pytest.raises(Refused, match="too many"):
        guard.admit(head_of("0", caller="c"), 1000)
    with pytest.raises(NotAuthenticated):
        guard.admit(head_of("0", caller="a"), 1000)


# Evidence


def kept(body: bytes | None = BODY) -> Evidence:
    return evidence_of(verify_head(signed()), body, NOW + 1)


def test_evidence_proves_offline_what_was_said() -> None:
    stored = decode(encode(kept()), Evidence)
    head = verify_evidence(stored)
    assert (head.caller, head.to, head.method, head.url) == (CALLER.node_id, SITE, "POST", URL)
    assert verify_evidence(kept(None)).digest == content_digest(BODY)


def test_evidence_made_by_hand_holds_too() -> None:
    assert verify_evidence(evidence_of(verify_head(resigned(FULL, PARAMETERS)), BODY, NOW)).caller == CALLER.node_id


def altered(data: bytes, position: int, byte: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([byte]) + data[position + 1 :]


@given(st.sampled_from(["caller", "base", "signature", "body"]), st.integers(0, 10_000), st.integers(0, 255))
def test_evidence_with_any_byte_altered_is_refused(field: str, position: int, byte: int) -> None:
    good = kept()
    before = getattr(good, field)
    raw = before.encode() if isinstance(before, str) else before
    after = altered(raw, position, byte)
    if after == raw:
        return
    new = after.decode("latin-1") if isinstance(before, str) else after
    with pytest.raises(RemoteError):
        verify_evidence(msgspec.structs.replace(good, **{field: new}))


@given(st.text(max_size=200), st.binary(max_size=80))
def test_invented_evidence_is_refused(base: str, signature: bytes) -> None:
    with pytest.raises(RemoteError):
        verify_evidence(Evidence(CALLER.node_id, base, signature, None, NOW))


def test_evidence_of_another_time_is_refused() -> None:
    with pytest.raises(RemoteError, match="set the clocks"):
        verify_evidence(msgspec.structs.replace(kept(), received_at=NOW + 3600))


# Over the wire


async def test_a_request_sent_twice_is_refused_the_second_time(
    site: Site, client: PeerClient, caller: Identity
) -> None:
    url, now = f"https://{site.endpoint}/v1/echo", SystemClock().now()
    headers = RequestSigner(caller).headers("GET", url, to=site.identity.node_id, digest=content_digest(b""), now=now)
    answers = [await client.request(site.endpoint, "GET", "/v1/echo", node=None, headers=headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 401]
    assert b"made before" in answers[1].body


async def test_a_request_meant_for_another_site_is_refused(
    sites: Callable[[], Awaitable[Site]], client: PeerClient, caller: Identity
) -> None:
    asked, other = await sites(), await sites()
    url, now = f"https://{asked.endpoint}/v1/echo", SystemClock().now()
    headers = RequestSigner(caller).headers("GET", url, to=asked.identity.node_id, digest=content_digest(b""), now=now)
    passed_on = {**headers, "Host": str(asked.endpoint)}
    answer = await client.request(other.endpoint, "GET", "/v1/echo", node=None, headers=passed_on)
    assert answer.status == 401
    assert b"meant for site" in answer.body
    assert (await client.request(asked.endpoint, "GET", "/v1/echo", node=None, headers=passed_on)).status == 200


async def test_another_body_than_the_signed_one_never_reaches_a_handler(
    site: Site, client: PeerClient, caller: Identity
) -> None:
    url, now = f"https://{site.endpoint}/v1/echo", SystemClock().now()
    headers = RequestSigner(caller).headers(
        "POST", url, to=site.identity.node_id, digest=content_digest(b"one"), now=now
    )
    answer = await client.request(site.endpoint, "POST", "/v1/echo", node=None, headers=headers, body=b"two")
    assert answer.status == 401
    assert b"not the one that was signed" in answer.body
    assert site.evidence == []


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
async def test_a_site_with_another_time_says_so(site: Site, client: PeerClient, ahead_s: float) -> None:
    site.clock.ahead_s = ahead_s
    answer = await client.request(site.endpoint, "GET", "/v1/echo", node=site.identity.node_id)
    assert answer.status == 401
    with pytest.raises(FootlooseError, match="set the clocks"):
        answer.check()
