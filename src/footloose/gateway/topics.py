"""Live topics: who at this worker listens to what, and where else a published message has to go.

The copies of a service form a tree, and the workers of a site know each other, so sending each message on every way
but the one it came by reaches everyone once. What is remembered of past messages guards against a tree that is
none for a moment (a copy that has just found a new parent); the hop limit guards that memory.
"""

import itertools
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

import msgspec

from footloose.core.errors import LimitExceeded, RemoteError
from footloose.core.limits import (
    PUBLICATIONS_REMEMBERED,
    RELAY_HOPS,
    TOPIC_BYTES,
    TOPICS_PER_CONNECTION,
    WEBSOCKET_MESSAGE_BYTES,
)
from footloose.gateway.websocket import server_frame
from footloose.model.app import ServiceId


class Publication(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A published message as it travels between workers and sites (MessagePack). ``id`` is unique among all.

    ``payload`` is UTF-8 if it is ``text``.
    """

    version: int
    id: str
    service: ServiceId
    topic: str
    text: bool
    payload: bytes
    hops: int = 0

    @property
    def message(self) -> str | bytes:
        """The message as users get it."""
        return self.payload.decode() if self.text else self.payload


VERSION = 1
_ID_CHARS = 64
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Publication)


def encode(publication: Publication) -> bytes:
    """``publication`` as it travels."""
    return _encoder.encode(publication)


def decode(data: bytes) -> Publication:
    """The publication in ``data``. Raises :class:`RemoteError` if there is none, or one of another version."""
    try:
        publication = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteError(f"not a publication: {error}", where="relay") from error
    if publication.version != VERSION:
        raise RemoteError(f"publication of version {publication.version}", where="relay", fix=f"send {VERSION}")
    if not is_topic(publication.topic) or not 0 <= publication.hops <= RELAY_HOPS or len(publication.id) > _ID_CHARS:
        raise RemoteError("publication with a bad topic, hop count or id", where="relay")
    if len(publication.payload) > WEBSOCKET_MESSAGE_BYTES:
        raise LimitExceeded(f"a publication of more than {WEBSOCKET_MESSAGE_BYTES} bytes", where="relay")
    try:
        _ = publication.message
    except UnicodeDecodeError as error:
        raise RemoteError("a text that is not UTF-8", where="relay") from error
    return publication


def is_topic(name: str) -> bool:
    """Whether ``name`` can name a topic."""
    return 0 < len(name.encode()) <= TOPIC_BYTES and name.isprintable()


class Subscriber(Protocol):
    """A user's WebSocket."""

    def deliver(self, frame: bytes) -> None:
        """Send ``frame``, a whole message as a server sends it."""
        ...


class Link(Protocol):
    """A relay connection to another copy."""

    def forward(self, data: bytes) -> None:
        """Send ``data``, an encoded publication."""
        ...


class Origin(Enum):
    """Where a publication came from, if not by a link."""

    GUEST = "guest"
    SITE = "site"
    """Another worker of this site, which has told all others too."""


class Topics:
    """The topics of all services at one worker. ``name`` is unique to the worker; ``site`` tells the other workers."""

    def __init__(self, name: str, site: Callable[[bytes], None]) -> None:
        self._name = name
        self._numbers = itertools.count()
        self._site = site
        self._subscribers: dict[tuple[ServiceId, str], dict[Subscriber, None]] = {}
        self._subscribed: dict[Subscriber, set[tuple[ServiceId, str]]] = {}
        self._links: dict[ServiceId, dict[Link, None]] = {}
        self._seen: dict[tuple[ServiceId, str], None] = {}

    def subscribe(self, service: ServiceId, topic: str, subscriber: Subscriber) -> bool:
        """Have ``subscriber`` get what is published; False if the name is no topic or it has too many."""
        subscribed = self._subscribed.setdefault(subscriber, set())
        key = (service, topic)
        if key not in subscribed:
            if not is_topic(topic) or len(subscribed) >= TOPICS_PER_CONNECTION:
                return False
            subscribed.add(key)
            self._subscribers.setdefault(key, {})[subscriber] = None
        return True

    def leave(self, subscriber: Subscriber) -> None:
        """Forget ``subscriber``."""
        for key in self._subscribed.pop(subscriber, ()):
            subscribers = self._subscribers[key]
            del subscribers[subscriber]
            if not subscribers:
                del self._subscribers[key]

    def join(self, service: ServiceId, link: Link) -> None:
        """Send the service's publications over ``link`` too."""
        self._links.setdefault(service, {})[link] = None

    def part(self, service: ServiceId, link: Link) -> None:
        """Forget ``link``."""
        links = self._links.get(service, {})
        links.pop(link, None)
        if not links:
            self._links.pop(service, None)

    def publish(self, service: ServiceId, topic: str, payload: str | bytes) -> bool:
        """Send ``payload`` to all who are subscribed to ``topic``, wherever they are; False if that is no topic."""
        if not is_topic(topic):
            return False
        data = payload.encode() if isinstance(payload, str) else payload
        publication_id = f"{self._name}.{next(self._numbers)}"
        self.spread(Publication(VERSION, publication_id, service, topic, isinstance(payload, str), data), Origin.GUEST)
        return True

    def spread(self, publication: Publication, came_by: Link | Origin) -> None:
        """Deliver ``publication`` here and send it on every way but the one it came by; once only."""
        if not self._is_new((publication.service, publication.id)):
            return
        self._deliver(publication)
        if publication.hops >= RELAY_HOPS:
            return
        if came_by is not Origin.SITE:
            self._site(encode(publication))
        links: Iterable[Link] = [link for link in self._links.get(publication.service, ()) if link is not came_by]
        if links:
            data = encode(msgspec.structs.replace(publication, hops=publication.hops + 1))
            for link in links:
                link.forward(data)

    def _deliver(self, publication: Publication) -> None:
        subscribers = self._subscribers.get((publication.service, publication.topic))
        if subscribers:
            frame = server_frame(publication.message)
            for subscriber in list(subscribers):
                subscriber.deliver(frame)

    def _is_new(self, key: tuple[ServiceId, str]) -> bool:
        """Whether ``key`` was not seen before. The service is part of it: no copy may forge another service's ids."""
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > PUBLICATIONS_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True
