"""Who makes a request, and that it was meant for this site: HTTP message signatures (RFC 9421, RFC 9530).

The signature covers the method, the whole target URI, the digest of the body, and ``Footloose-To``: the node id of the
site that is asked. So a site cannot pass a request it was sent on to another site as if the caller had asked there.
"""

import base64
import binascii
import datetime
import hashlib
import heapq
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from footloose.core.digest import Digest
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.identity import Identity, NodeId, public_key_of, short
from footloose.core.limits import CLOCK_SKEW_S, NONCES_KEPT, NONCES_PER_CALLER
from footloose.transport.problems import NotAuthenticated, Refused

TO_HEADER = "Footloose-To"
COVERED = ("@method", "@target-uri", "content-digest", "footloose-to")
TAG = "footloose"
_LABEL = "footloose"
_PARAMETERS = {"created", "keyid", "nonce", "tag", "alg"}
_NONCE_CHARS = range(8, 65)
ACCEPT_SIGNATURE = (
    f"{_LABEL}=({' '.join(f'{chr(34)}{name}{chr(34)}' for name in COVERED)})"
    f';created;keyid;nonce;alg="{ED25519.algorithm_id}";tag="{TAG}"'
)
"""What a refused caller is told to send (RFC 9421 §5.1)."""


def content_digest(body: bytes) -> str:
    """The ``Content-Digest`` of a body (RFC 9530), in the one form sites accept."""
    return _content_digest(hashlib.sha256(body).digest())


def content_digest_of(artifact: Digest) -> str:
    """The ``Content-Digest`` of an artifact sent as a body: the same hash, written the HTTP way."""
    return _content_digest(bytes.fromhex(artifact.removeprefix("sha256:")))


def _content_digest(sha256: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


@dataclass(frozen=True)
class Message:
    """A request as the signature sees it. ``url`` is the whole target, as ``https://host:port/path?query``."""

    method: str
    url: str
    headers: Mapping[str, str]


class SignedHead(msgspec.Struct, frozen=True):
    """What a genuine signature says: ``caller`` asked ``to``, at ``created`` (seconds), for what ``base`` spells out.

    ``base`` is the very text that was signed (RFC 9421 §2.5). The body is vouched for by ``digest`` only.
    """

    caller: NodeId
    to: str
    method: str
    url: str
    digest: str
    created: int
    nonce: str
    base: str
    signature: bytes


class _Keys(HTTPSignatureKeyResolver):
    """The key id is the key."""

    def __init__(self, identity: Identity | None = None) -> None:
        self._identity = identity

    def resolve_public_key(self, key_id: str) -> Any:
        return public_key_of(key_id)

    def resolve_private_key(self, key_id: str) -> Any:
        if self._identity is None or key_id != self._identity.node_id:
            raise KeyError(key_id)
        return self._identity.private_key


class _Verifier(HTTPMessageVerifier):
    """The library's checks without its clock: times are judged by ours."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Nothing: see :func:`check_time`."""


class RequestSigner:
    """Signs a site's requests to others."""

    def __init__(self, identity: Identity) -> None:
        self._node_id = identity.node_id
        self._signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_Keys(identity))

    def headers(self, method: str, url: str, *, to: NodeId, digest: str, now: float) -> dict[str, str]:
        """The headers that make a request provable. ``digest`` is its ``Content-Digest``, ``now`` in seconds."""
        headers: MutableMapping[str, str] = {"Content-Digest": digest, TO_HEADER: to}
        self._signer.sign(
            Message(method, url, headers),
            key_id=self._node_id,
            created=datetime.datetime.fromtimestamp(now, datetime.UTC),
            nonce=secrets.token_urlsafe(16),
            label=_LABEL,
            tag=TAG,
            covered_component_ids=COVERED,
            use_existing_digest=True,
        )
        return dict(headers)


_VERIFIER = _Verifier(signature_algorithm=ED25519, key_resolver=_Keys())


def verify_head(message: Message) -> SignedHead:
    """What the request's signature says, once it is seen to be genuine. Raises :class:`NotAuthenticated` if not.

    Looks at neither clock nor body: see :func:`check_time`, :class:`ReplayGuard` and :func:`check_body`.
    """
    try:
        results = _VERIFIER.verify(message, max_age=None, expect_tag=TAG)
    except (HTTPMessageSignaturesException, FootlooseError) as error:
        raise NotAuthenticated(str(error) or "does not fit the request", fix="sign the request as sent") from error
    if len(results) != 1:
        raise NotAuthenticated(f"{len(results)} signatures tagged {TAG!r}", fix="sign once")
    covered, parameters = dict(results[0].covered_components), results[0].parameters
    signature_base = "\n".join(f"{name}: {value}" for name, value in covered.items())
    covered.pop('"@signature-params"')
    if set(covered) != {f'"{name}"' for name in COVERED}:
        raise NotAuthenticated("covers other parts of the request than it must", fix=f"cover {', '.join(COVERED)}")
    if set(parameters) | {"alg"} != _PARAMETERS:
        raise NotAuthenticated("has other parameters than it must", fix="give created, keyid, nonce and tag")
    nonce = str(parameters["nonce"])
    if len(nonce) not in _NONCE_CHARS:
        raise NotAuthenticated("its nonce is too short or too long", fix="use 8 to 64 characters")
    return SignedHead(
        caller=NodeId(str(parameters["keyid"])),
        to=covered['"footloose-to"'],
        method=covered['"@method"'],
        url=covered['"@target-uri"'],
        digest=covered['"content-digest"'],
        created=int(parameters["created"]),
        nonce=nonce,
        base=signature_base,
        signature=_signature_of(message, results[0].label),
    )


def _signature_of(message: Message, label: str) -> bytes:
    """The raw signature of a message that was just verified under ``label``."""
    text = message.headers["Signature"].strip()
    try:
        return base64.b64decode(text.removeprefix(f"{label}=:").removesuffix(":"), validate=True)
    except binascii.Error as error:
        raise NotAuthenticated("the Signature header holds more than one plain signature", fix="sign once") from error


def check_time(head: SignedHead, now: float) -> None:
    """Raises :class:`NotAuthenticated` if the request was signed too long before or after ``now`` (seconds)."""
    off_s = head.created - now
    if abs(off_s) > CLOCK_SKEW_S:
        when = "before" if off_s < 0 else "after"
        raise NotAuthenticated(
            f"made {abs(off_s):.0f} s {when} now, more than {CLOCK_SKEW_S:.0f}", fix="set the clocks"
        )


def check_body(head: SignedHead, body: bytes) -> None:
    """Raises :class:`NotAuthenticated` if ``body`` is not the one that was signed."""
    check_digest(head, hashlib.sha256(body).digest())


def check_digest(head: SignedHead, sha256: bytes) -> None:
    """Raises :class:`NotAuthenticated` if the body with this hash is not the one that was signed."""
    if head.digest != _content_digest(sha256):
        raise NotAuthenticated("the body is not the one that was signed", fix="Content-Digest must be its sha-256")


@dataclass
class ReplayGuard:
    """Remembers the nonces of genuine requests for as long as these could be sent again."""

    capacity: int = NONCES_KEPT
    per_caller: int = NONCES_PER_CALLER
    _seen: dict[NodeId, set[str]] = field(default_factory=dict)
    _due: list[tuple[float, NodeId, str]] = field(default_factory=list)

    def admit(self, head: SignedHead, now: float) -> None:
        """Take note of a request. Raises :class:`NotAuthenticated` if it was seen before, :class:`Refused` (429)
        if there is no room to remember it."""
        self._forget(now)
        seen = self._seen.get(head.caller, set())
        if head.nonce in seen:
            raise NotAuthenticated("this request was made before", fix="sign each request anew")
        if len(self._due) >= self.capacity or len(seen) >= self.per_caller:
            raise Refused(429, "too many requests at once", where=f"site {short(head.caller)}", fix="slow down")
        self._seen.setdefault(head.caller, set()).add(head.nonce)
        heapq.heappush(self._due, (head.created + CLOCK_SKEW_S, head.caller, head.nonce))

    def _forget(self, now: float) -> None:
        while self._due and self._due[0][0] < now:
            _, caller, nonce = heapq.heappop(self._due)
            seen = self._seen[caller]
            seen.remove(nonce)
            if not seen:
                del self._seen[caller]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request kept as proof: anyone can check later, alone, that ``caller`` made it.

    ``base`` is the text that was signed; ``body`` is None where a body was too large to keep, which ``base`` still
    names by its digest. ``received_at`` (seconds) is the receiver's own note.
    """

    caller: NodeId
    base: str
    signature: bytes
    body: bytes | None
    received_at: float


def evidence_of(head: SignedHead, body: bytes | None, received_at: float) -> Evidence:
    """What to keep of a genuine request."""
    return Evidence(head.caller, head.base, head.signature, body, received_at)


def verify_evidence(evidence: Evidence) -> SignedHead:
    """What the caller said. Raises :class:`RemoteError` if any byte of it is not as it was signed."""
    head = verify_head(_message_from(evidence))
    if head.base != evidence.base or head.caller != evidence.caller or head.signature != evidence.signature:
        raise RemoteError("not what was signed", where="evidence")
    check_time(head, evidence.received_at)
    if evidence.body is not None:
        check_body(head, evidence.body)
    return head


def _message_from(evidence: Evidence) -> Message:
    """The request a signature base was made of, so that evidence is checked as the request itself was."""
    parts = dict(line.partition(": ")[::2] for line in evidence.base.split("\n"))
    headers = {
        "Signature-Input": f"{_LABEL}={parts.pop(chr(34) + '@signature-params' + chr(34), '')}",
        "Signature": f"{_LABEL}=:{base64.b64encode(evidence.signature).decode()}:",
    }
    named = {name.strip('"'): value for name, value in parts.items()}
    method, url = named.pop("@method", ""), named.pop("@target-uri", "")
    return Message(method, url, headers | named)
