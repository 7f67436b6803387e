"""The meta-variables a guest sees (RFC 3875 §4.1), and REQUEST_URI, as servers commonly add it."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from footloose import __version__

_META_VARIABLES = frozenset(
    (
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "FOOTLOOSE_CONNECTION",
        "FOOTLOOSE_EVENT",
        "GATEWAY_INTERFACE",
        "HTTPS",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_METHOD",
        "REQUEST_URI",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "SERVER_SOFTWARE",
    )
)
_RESERVED_START = "HTTP_"
_FIXED = {"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": f"footloose/{__version__}"}


class PathError(ValueError):
    """A path that cannot be handed to a guest; the message is meant for the user."""


def service_environment(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What is the same for all requests of a service: its own environment, which no meta-variable can be set by."""
    own = {
        name: value
        for name, value in environment
        if name not in _META_VARIABLES and not name.startswith(_RESERVED_START)
    }
    return own | _FIXED


def path_info(rest: str) -> str:
    """The decoded PATH_INFO of the undecoded ``rest`` of a path. Raises :class:`PathError`."""
    if "%" not in rest:
        return rest
    decoded = unquote_to_bytes(rest)
    if b"\0" in decoded:
        raise PathError("a path has no NUL")
    try:
        return decoded.decode()
    except UnicodeDecodeError as error:
        raise PathError("a path is UTF-8, percent-encoded") from error
