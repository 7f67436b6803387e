"""What is to be done with a request: answered by the gateway itself, or by a call of a guest. No input or output.

In this order: no such service, a preflight, sent on to a nearer copy, no room, the guest.
"""

from collections.abc import Sequence

import msgspec

from footloose.core.clock import Clock
from footloose.gateway import redirects
from footloose.gateway.calls import Outcome, blame
from footloose.gateway.cgi import parse_answer
from footloose.gateway.circles import Circles
from footloose.gateway.http1 import Request
from footloose.gateway.meta import PathError, path_info
from footloose.gateway.responses import Response, text_response
from footloose.gateway.routes import Authority, parse_authority
from footloose.gateway.services import Served, Services
from footloose.model.guest import GuestError
from footloose.model.network import Prefix

_ANY_ORIGIN = ("Access-Control-Allow-Origin", "*")
_PREFLIGHT_S = 600
_NOT_FOUND = text_response(404, "no service is here; they are at /<app id>/<service>/", [_ANY_ORIGIN])
_NO_TLS_THERE = text_response(503, "the service has moved to where TLS is not spoken", [_ANY_ORIGIN])
_NO_GUEST = text_response(503, "the service cannot be run at this site", [_ANY_ORIGIN])
BUSY = text_response(503, "the service has too many requests waiting", [_ANY_ORIGIN, ("Retry-After", "1")])
NEARER = "a copy nearer to you serves this"
MOVED = "no longer served here"


class User(msgspec.Struct, frozen=True):
    """Who is at the other end of a connection, and the address and port of ours they came to; ``secure`` if by TLS.

    ``direct`` unless a proxy stands in between, whose round trip says nothing of theirs.
    """

    address: str
    prefix: Prefix
    here: Authority
    secure: bool = False
    direct: bool = True


class Call(msgspec.Struct, frozen=True):
    """A guest is to be called. ``rest`` is the undecoded path behind the service's own."""

    served: Served
    environment: dict[str, str]
    rest: str


class Farewell(msgspec.Struct, frozen=True):
    """A WebSocket to a service that has moved: browsers follow no redirect there, so the user is told the ``url``."""

    url: str


class Front:
    """Decides by the table in force."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self._services = services
        self._clock = clock
        self._circles = Circles()

    def admit(self, request: Request, user: User) -> Response | Call | Farewell:
        """What is to be done with ``request``."""
        found = self._services.routes.find(request.host, request.path)
        if found is None:
            return self._elsewhere(request, user)
        served, end = found
        if request.method == "OPTIONS" and _is_preflight(request):
            return _preflight(request)
        rest = request.path[end:]
        if served.redirects and not request.upgrade:
            url = self.nearer(served, user, request.host, rest, request.query)
            if url is not None and not self._goes_in_circles(served, user, request):
                until = served.redirects[user.prefix].until
                return _sent_on(request, url, redirects.max_age_s(until, self._clock.now()))
        if served.guest is None:
            return _NO_GUEST
        try:
            return Call(served, _environment(request, user, served, end), rest)
        except PathError as error:
            return text_response(400, str(error), [_ANY_ORIGIN])

    def _goes_in_circles(self, served: Served, user: User, request: Request) -> bool:
        """Whether the user keeps being sent on for this very request and can be served here."""
        what = f"{request.method} {request.target}"
        can_serve = served.guest is not None
        return can_serve and self._circles.sent_too_often(user.address, what, self._clock.now())

    def nearer(self, served: Served, user: User, host: str, rest: str, query: str) -> str | None:
        """The URL at the copy where ``user`` is better served, unless that is this very gateway."""
        redirect = served.redirect_for(user.prefix, self._clock.now())
        if redirect is None or redirects.points_at(redirect.url, _authorities(host, user)):
            return None
        if user.secure and not redirects.is_secure(redirect.url):
            return None
        return redirects.url_at(redirect.url, rest, query)

    def moved(self, path: str, query: str, host: str, user: User) -> tuple[str, float] | None:
        """The URL of what ``path`` was here and is now elsewhere, and until when to send users there."""
        found = self._services.moved_to(path, self._clock.now())
        if found is None or redirects.points_at(found[0].url, _authorities(host, user)):
            return None
        moved, end = found
        return redirects.url_at(moved.url, path[end:], query), moved.until

    def _elsewhere(self, request: Request, user: User) -> Response | Farewell:
        if request.path == "*":
            return text_response(204, "", [("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")])
        moved = self.moved(request.path, request.query, request.host, user)
        if moved is None:
            return _NOT_FOUND
        url, until = moved
        if user.secure and not redirects.is_secure(url):
            return _NO_TLS_THERE
        if request.method == "OPTIONS" and _is_preflight(request):
            return _preflight(request)
        if request.upgrade:
            return Farewell(redirects.websocket_url(url))
        return _sent_on(request, url, redirects.max_age_s(until, self._clock.now()))


def answer_of(outcome: Outcome) -> tuple[Response, str]:
    """The response a call's ``outcome`` makes, and for the log what was wrong with it, if anything was."""
    if outcome.failure:
        return _fault(outcome, outcome.status, outcome.blame), outcome.failure
    try:
        head, body = parse_answer(outcome.output)
    except GuestError as error:
        return _fault(outcome, *blame(error)), str(error)
    return Response(head.status, head.lines, body, head.length, outcome.ms, outcome.queue_ms), ""


def _fault(outcome: Outcome, status: int, text: str) -> Response:
    response = text_response(status, text, [_ANY_ORIGIN])
    return Response(response.status, response.lines, response.body, guest_ms=outcome.ms)


def _environment(request: Request, user: User, served: Served, end: int) -> dict[str, str]:
    """The service's environment and all meta-variables of one request. Raises :class:`PathError`."""
    path = request.path
    authority = parse_authority(request.host)
    if authority is None:
        if request.host:
            raise PathError("the Host header is malformed")
        authority = user.here
    environment = served.environment | request.fields
    if request.body:
        environment["CONTENT_LENGTH"] = str(len(request.body))
    environment["REQUEST_METHOD"] = request.method
    environment["REQUEST_URI"] = request.target
    environment["SCRIPT_NAME"] = path[:end]
    environment["PATH_INFO"] = path_info(path[end:])
    environment["QUERY_STRING"] = request.query
    environment["REMOTE_ADDR"] = user.address
    environment["SERVER_NAME"] = authority.name
    environment["SERVER_PORT"] = str(user.here.port)
    environment["SERVER_PROTOCOL"] = "HTTP/" + request.version
    if user.secure:
        environment["HTTPS"] = "on"
    return environment


def _authorities(host: str, user: User) -> Sequence[Authority]:
    """The names under which the user reaches this gateway."""
    asked = parse_authority(host)
    if asked is None:
        return (user.here,)
    usual = 443 if user.secure else 80
    return (user.here, Authority(asked.name, asked.port if asked.port is not None else usual))


def _sent_on(request: Request, url: str, max_age_s: int) -> Response:
    headers = [("Location", url), ("Cache-Control", f"private, max-age={max_age_s}"), _ANY_ORIGIN]
    return text_response(redirects.status_for(request.method), f"see {url}", headers)


def _is_preflight(request: Request) -> bool:
    return "HTTP_ORIGIN" in request.fields and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.fields


def _preflight(request: Request) -> Response:
    """Every method and header is allowed: cookies are not, as the allowed origin is ``*`` (Fetch §3.2)."""
    fields = request.fields
    headers = [
        _ANY_ORIGIN,
        ("Access-Control-Allow-Methods", fields["HTTP_ACCESS_CONTROL_REQUEST_METHOD"]),
        ("Access-Control-Allow-Headers", fields.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "*")),
        ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
    ]
    if "HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK" in fields:
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return text_response(204, "", headers)
